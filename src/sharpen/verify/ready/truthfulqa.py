"""TruthfulQA: questions that people answer wrongly out of habit. `ready:truthfulqa`.

Files: truthfulqa/*.csv of the 2021-22 edition. One true answer stands against the false ones (the paper's MC1); the
likeliest choice is the answer (`?kind=choice_norm` divides by length). Choices are ordered by hash: the files give the
true one first. Cluster: the source that a question was written from, where it is an address or a page; else the
question. Tags: category, adversarial or not. Tiers: measured only. Licence: Apache-2.0.
Source: Lin et al. 2022, TruthfulQA: Measuring How Models Mimic Human Falsehoods, arXiv:2109.07958.
"""

from __future__ import annotations

from collections.abc import Iterator

from sharpen.records import content_hash
from sharpen.verify.cases import MEASURE
from sharpen.verify.ready.source import Draft, Folder, Ready


def _read(folder: Folder) -> Iterator[Draft]:
    for row in folder.rows():
        question, best = row.text("Question"), row.text("Best Answer")
        false = [answer.strip() for answer in row.text("Incorrect Answers").split(";")]
        choices = {answer for answer in (best, *false) if answer}
        if len(choices) < 2:
            raise row.bad("there is no false answer that differs from the true one")
        source = row.maybe("Source")
        tags = (row.text("Category").casefold(), row.text("Type").casefold())
        yield Draft(
            question,
            best,
            "choice",
            tuple(sorted(choices, key=content_hash)),
            tags=tags,
            cluster=source.partition("#:~:text")[0] if "://" in source else "",
        )


READY = Ready("truthfulqa", ("*.csv", "*.csv.gz"), _read, "choice", "github.com/sylinrl/TruthfulQA", MEASURE)
