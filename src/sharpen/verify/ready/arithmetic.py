"""AddSub and SingleEq: the easiest word problems, one equation each. `ready:arithmetic`.

Files: arith_wordproblems/AddSub.json and SingleEq.json; either may be missing. The two share 126 questions, which count
once. Cluster: the first sentence with its numbers masked, so that what both sets tell of one story is in one tier.
Tags: the set. Scorer: numeric. Tiers: a task. Licence: ODC-By 1.0 as packed by LLM-Adapters; upstream states none.
Source: Hosseini et al. 2014, EMNLP (AddSub); Koncel-Kedziorski et al. 2015, TACL 3:585-597 (SingleEq).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from sharpen.verify.ready.source import Draft, Folder, Ready, Row, template


def _read(folder: Folder) -> Iterator[Draft]:
    seen = set()
    for path, problems in folder.json():
        for number, fields in enumerate(problems, start=1):
            row = Row(f"{path}:{number}", fields)
            asked = re.sub(r"\s+([.,?!])", r"\1", row.text("sQuestion"))
            words = re.sub(r"[\W_]+", "", asked.casefold())
            if words in seen:
                continue
            seen.add(words)
            first = re.split(r"(?<!Mrs)(?<!Mr)(?<!Ms)(?<!Dr)[.?!]\s", asked, maxsplit=1)[0]
            solutions = row.get("lSolutions", list)
            try:
                answer = f"{float(str(solutions[0]).replace(',', '')):.15g}"
            except (IndexError, ValueError) as error:
                raise row.bad("'lSolutions' holds no number") from error
            yield Draft(asked, answer, tags=(path.name.partition(".")[0].casefold(),), cluster=template(first))


READY = Ready(
    "arith_wordproblems",
    ("AddSub.json*", "SingleEq.json*"),
    _read,
    "numeric",
    "github.com/AGI-Edgerunners/LLM-Adapters (dataset/)",
)
