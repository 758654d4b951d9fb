"""GSM8K: grade-school word problems that take two to eight steps. `ready:gsm8k`.

Files: gsm8k/*.jsonl with `question` and `answer`, whose last line is "#### NUMBER". Cluster: the problem, its numbers
aside. Scorer: numeric (the last number of the reply). Tiers: a task, with 40 % to train on. Licence: MIT.
Source: Cobbe et al. 2021, Training Verifiers to Solve Math Word Problems, arXiv:2110.14168.
"""

from __future__ import annotations

from collections.abc import Iterator

from sharpen.verify.ready.source import Draft, Folder, Ready, template
from sharpen.verify.scorers import last_number


def _read(folder: Folder) -> Iterator[Draft]:
    for row in folder.rows():
        question, answer = row.text("question"), row.text("answer")
        number = answer.rpartition("####")[2].replace("$", "").strip()
        if "####" not in answer or last_number(number) is None:
            raise row.bad("'answer' does not end with '#### NUMBER'")
        yield Draft(question, number.replace(",", ""), cluster=f"gsm8k {template(question)}")


READY = Ready("gsm8k", ("t*.jsonl", "t*.jsonl.gz"), _read, "numeric", "github.com/openai/grade-school-math")
