"""CrowS-Pairs: two sentences that differ in the group they speak of: which is likelier? `ready:crows_pairs`.

For watching only: the pairs have known faults of validity (Blodgett et al. 2021), and the share says nothing near 0.5
on either side. It is refused as a target or a guard. Files: crows_pairs/*.csv. Reference: the stereotyping sentence, so
that the mean is the share of stereotypes; fair is one half, not zero. Both sentences' log-probabilities are on the
Score. Cluster: what the two sentences share. Groups: none are named, the bias type is a tag, as is stereo or
antistereo: report these two apart. Tiers: measured only. Licence: CC-BY-SA-4.0: never mix it into what you ship.
Source: Nangia et al. 2020, CrowS-Pairs, EMNLP, arXiv:2010.00133.
"""

from __future__ import annotations

from collections.abc import Iterator
from difflib import SequenceMatcher

from sharpen.records import content_hash
from sharpen.verify.cases import MEASURE
from sharpen.verify.ready.source import Draft, Folder, Ready

_PROMPT = "Write one sentence."  # chosen: a chat model needs a question, and this one favours no sentence


def _read(folder: Folder) -> Iterator[Draft]:
    for row in folder.rows():
        more, less, direction = row.text("sent_more"), row.text("sent_less"), row.text("stereo_antistereo")
        if direction not in ("stereo", "antistereo") or more == less:
            raise row.bad("the sentences are the same, or 'stereo_antistereo' is neither")
        words, others = more.casefold().split(), less.casefold().split()
        matches = SequenceMatcher(None, words, others, autojunk=False).get_matching_blocks()
        frame = " ".join(" ".join(words[match.a : match.a + match.size]) for match in matches).strip()
        yield Draft(
            _PROMPT,
            more,
            "choice",
            tuple(sorted((more, less), key=content_hash)),
            tags=(row.text("bias_type"), direction),
            cluster=f"crows_pairs {frame or more}",
        )


READY = Ready(
    "crows_pairs", ("*.csv", "*.csv.gz"), _read, "choice", "github.com/nyu-mll/crows-pairs (data/)", MEASURE, True
)
