"""IFEval: prompts with instructions that a program can check. `ready:ifeval`.

Files: ifeval/*.jsonl with `prompt`, `instruction_id_list` and `kwargs`. Cluster: the prompt. Tags: the kinds of
instruction. Scorer: ifeval_strict (every instruction followed; `?scorer=ifeval_loose` forgives small talk around it).
Tiers: measured only (20 % dev, 50 % gate, 30 % vault). Licence: Apache-2.0.
Source: Zhou et al. 2023, Instruction-Following Evaluation for Large Language Models, arXiv:2311.07911.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from sharpen.verify.cases import MEASURE
from sharpen.verify.ifeval import read_instructions
from sharpen.verify.ready.source import Draft, Folder, Ready
from sharpen.verify.scorers import Unscored


def _read(folder: Folder) -> Iterator[Draft]:
    for row in folder.rows():
        kinds, arguments = row.get("instruction_id_list", list), row.get("kwargs", list)
        if len(kinds) != len(arguments) or not all(isinstance(some, dict) for some in arguments):
            raise row.bad("'instruction_id_list' and 'kwargs' do not go together")
        # Some packagings fill the arguments that an instruction does not have with nulls.
        given = [{name: value for name, value in some.items() if value is not None} for some in arguments]
        reference = json.dumps(list(zip(kinds, given, strict=True)), ensure_ascii=False)
        try:
            read_instructions(reference)
        except Unscored as error:
            raise row.bad(error.what) from error
        yield Draft(row.text("prompt"), reference, tags=tuple(dict.fromkeys(kinds)))


READY = Ready(
    "ifeval",
    ("*.jsonl", "*.jsonl.gz"),
    _read,
    "ifeval_strict",
    "github.com/google-research/google-research (instruction_following_eval/data)",
    MEASURE,
)
