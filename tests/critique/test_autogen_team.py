from __future__ import annotations

import pytest
from tests.critique.sums import Counting, opened, stubborn, sum_item


@pytest.mark.parametrize("said", ["", "words that use the budget up " * 20])
def test_a_talk_that_ends_early_is_a_step_and_no_page_of_complaints(
    said: str, caplog: pytest.LogCaptureFixture
) -> None:
    engine = Counting(lambda request, version: said or stubborn(request, version))
    one = sum_item()
    opened("autogen_team", engine, max_tokens=12, rounds=3).run([one])
    assert one.stop_reason == "tokens"
    assert [record for record in caplog.records if record.name.startswith("autogen")] == []


def test_a_model_without_words_ends_the_talk_and_is_noted() -> None:
    one = sum_item()
    opened("autogen_team", Counting(lambda request, version: ""), rounds=1).run([one])
    assert (one.stop_reason, one.error) == ("error", "the model gave no answer")
    assert one.steps[-1].error == "the model gave no answer"
