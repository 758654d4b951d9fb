"""ARC: science questions of school exams, multiple choice. `ready:arc`.

Files: arc/*.jsonl as packed by LLM-Adapters (`instruction` holds question and choices, `answer` the label); Easy and
Challenge are told apart by the file's name, as tags. Cluster: the question. Answered by the likeliest choice, divided
by its bytes (lm-eval's acc_norm; `?kind=choice` does not divide). Tiers: a task. Licence: ODC-By 1.0 as packed;
upstream CC-BY-SA-4.0.
Source: Clark et al. 2018, Think you have Solved Question Answering?, arXiv:1803.05457.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from sharpen.verify.ready.source import Draft, Folder, Ready, template

_ITEM = re.compile(r"\A.*?question:\s*(?P<question>.*?)\s*(?P<choices>Answer1:.*?)\s*Answer format:", re.DOTALL)
_LABEL = re.compile(r"\s*\bAnswer[1-9]:\s*")


def _read(folder: Folder) -> Iterator[Draft]:
    for row in folder.rows():
        item = _ITEM.match(row.text("instruction"))
        label = row.text("answer").removeprefix("answer")
        choices = tuple(_LABEL.split(item["choices"])[1:]) if item else ()
        if item is None or not label.isdecimal() or not 1 <= int(label) <= len(choices):
            raise row.bad("'instruction' and 'answer' do not hold a question, its choices and a label")
        if len(set(choices)) != len(choices):
            raise row.bad("two choices are the same")
        question = item["question"]
        tags = ("challenge" if "challenge" in row.where else "easy",)
        yield Draft(question, choices[int(label) - 1], "choice_norm", choices, tags=tags, cluster=template(question))


READY = Ready(
    "arc", ("*.jsonl", "*.jsonl.gz"), _read, "choice_norm", "github.com/AGI-Edgerunners/LLM-Adapters (dataset/ARC-*)"
)
