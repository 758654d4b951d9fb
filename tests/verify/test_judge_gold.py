from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.scripted_judge import make_gold

from sharpen.errors import ConfigError
from sharpen.verify.judge_gold import equal_pairs, paired_items, read_gold, single_items


def test_gold_is_read_and_paired(tmp_path: Path) -> None:
    path = tmp_path / "gold.jsonl"
    path.write_text("\n".join(row.model_dump_json() for row in make_gold(20)) + "\n\n")
    gold = read_gold(path)
    assert len(single_items(gold)) == 80
    pairs = paired_items(gold)
    assert len(pairs) == 20
    assert 3 <= sum(item.good for item in pairs) <= 17  # the hash decides who comes first
    assert {item.reply.split(" number")[0] for item in equal_pairs(gold, "scripted")} == {"as I see it"}
    assert equal_pairs(gold, "nobody") == []


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("{", "Expecting property name"),
        ('{"prompt": "p", "reply": "r"}', "'good': Field required"),
        ('{"prompt": "p", "reply": "r", "good": "yes"}', "'good': Input should be a valid boolean"),
        ('{"prompt": "p", "reply": "r", "good": true, "gruop": "a"}', "'gruop': Extra inputs"),
        ('{"prompt": "", "reply": "r", "good": true}', "'prompt': String should have at least 1"),
    ],
)
def test_a_bad_row_is_named_with_its_line(tmp_path: Path, line: str, fault: str) -> None:
    path = tmp_path / "gold.jsonl"
    path.write_text('{"prompt": "p", "reply": "q", "good": false}\n' + line)
    with pytest.raises(ConfigError, match=f"gold.jsonl:2: {fault}"):
        read_gold(path)


def test_gold_must_not_contradict_itself_and_must_have_both_kinds(tmp_path: Path) -> None:
    path = tmp_path / "gold.jsonl"
    row = {"prompt": "p", "reply": "r", "good": True}
    path.write_text(json.dumps(row))
    with pytest.raises(ConfigError, match="needs good and bad"):
        read_gold(path)
    path.write_text(json.dumps(row) + "\n" + json.dumps(row | {"good": False}))
    with pytest.raises(ConfigError, match="another 'good'"):
        read_gold(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_gold(tmp_path / "none.jsonl")
