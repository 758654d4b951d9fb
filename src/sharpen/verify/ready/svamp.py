"""SVAMP: one-step word problems, varied so that surface patterns do not answer them. `ready:svamp`.

Files: svamp/SVAMP.json. Cluster: the body with its numbers masked, which the variations of a problem share. Tags: the
operation. Scorer: numeric. Tiers: a task. Licence: MIT. It was made from ASDiv-A: who trains on that, sees its like.
Source: Patel et al. 2021, Are NLP Models really able to Solve Simple Math Word Problems?, arXiv:2103.07191.
"""

from __future__ import annotations

from collections.abc import Iterator

from sharpen.verify.ready.source import Draft, Folder, Ready, Row, template

_OPERATIONS = {"Common-Divison": "common-division"}  # a slip in the published file


def _read(folder: Folder) -> Iterator[Draft]:
    for path, problems in folder.json():
        for number, fields in enumerate(problems, start=1):
            row = Row(f"{path}:{number}", fields)
            body, question, operation = row.text("Body"), row.text("Question"), row.text("Type")
            asked = f"{body}{'' if body[-1] in '.?!,' else '.'} {question}"
            answer = f"{row.get('Answer', (int, float)):.15g}"
            tags = (_OPERATIONS.get(operation, operation.casefold()),)
            yield Draft(asked, answer, tags=tags, cluster=f"svamp {template(body)}")


READY = Ready("svamp", ("SVAMP.json", "SVAMP.json.gz"), _read, "numeric", "github.com/arkilpatel/SVAMP")
