"""Natural Questions, open, with passages: does a model answer from what it was given, and say so when it cannot?

`ready:nq_open`. Files: nq_open_rag/*.jsonl with `question`, `contexts` (title and text), `ground_truths` and
`answerable`. Reference: the accepted answers, a line each; empty where the passages hold none. Scorer: from_passages.
Cluster: the gold passage's page, which other questions may share; else the question. Tags: answerable or unanswerable.
Tiers: measured only. Licence: MIT; the passages are from Wikipedia (CC-BY-SA-3.0).
Source: Liu et al. 2024, Lost in the Middle, TACL, arXiv:2307.03172 (an answer counts where it occurs in the reply).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from sharpen.verify.cases import MEASURE
from sharpen.verify.ready.source import Draft, Folder, Ready
from sharpen.verify.scorers import scorer

_TASK = 'Answer in a few words from the passages alone. If they do not hold the answer, say "I don\'t know".'
_ABSTAINS = re.compile(
    r"\b(?:i (?:do not|don['’]?t) know|not (?:in|mentioned|stated|given|provided|found)\b|no(?:ne)? of the passages"  # noqa: RUF001
    r"|(?:can(?:not|['’]?t)|unable to|not possible to) (?:be )?(?:answer|determine|find|tell|say)"  # noqa: RUF001
    r"|(?:do(?:es)? not|do(?:es)?n['’]?t) (?:hold|contain|mention|say|state|provide|answer)|unanswerable)",  # noqa: RUF001
    re.IGNORECASE,
)


@scorer
def from_passages(reply: str, reference: str) -> float:
    """Return 1 if an accepted answer occurs in the reply; where the reference is empty, if the reply abstains.

    Case, punctuation, articles and accents do not count.

    >>> from_passages("It was the Beatles.", "Beatles\\nThe Fab Four"), from_passages("I don't know.", "")
    (1.0, 1.0)
    """
    accepted = [words for line in reference.split("\n") if (words := _words(line)).strip()]
    if not accepted:
        return float(_ABSTAINS.search(reply) is not None)
    return float(any(words in _words(reply) for words in accepted))


def _words(text: str) -> str:
    """Return the words of a text, each between blanks."""
    plain = "".join(sign for sign in unicodedata.normalize("NFKD", text.casefold()) if not unicodedata.combining(sign))
    words = [word for word in re.findall(r"\w+", plain) if word not in ("a", "an", "the")]
    return f" {' '.join(words)} "


def _read(folder: Folder) -> Iterator[Draft]:
    for row in folder.rows():
        passages, accepted = row.get("contexts", list), row.get("ground_truths", list)
        is_answerable = row.get("answerable", bool)
        try:
            texts = tuple(f"{passage['title']}: {passage['text']}" for passage in passages)
            gold = [str(passage["title"]) for passage in passages if passage.get("is_gold")]
        except (KeyError, TypeError, AttributeError) as error:
            raise row.bad("'contexts' is not a list of passages with title and text") from error
        answers = [" ".join(answer.split()) for answer in accepted if isinstance(answer, str)]
        yield Draft(
            f"{_TASK}\n{row.text('question')}",
            "\n".join(answers) if is_answerable else "",
            contexts=texts,
            tags=("answerable" if is_answerable else "unanswerable",),
            cluster=f"nq_open {gold[0]}" if gold else "",
        )


READY = Ready(
    "nq_open_rag",
    ("*.jsonl", "*.jsonl.gz"),
    _read,
    "from_passages",
    "github.com/nelson-liu/lost-in-the-middle (qa_data/)",
    MEASURE,
)
