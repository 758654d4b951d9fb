from __future__ import annotations

from rich.progress import Progress

from sharpen.console import Board, training_line
from sharpen.records import TrainingRun


def test_a_bar_that_told_no_length_stops_its_clock_at_its_end() -> None:
    progress = Progress()
    board = Board(progress)
    board("curate", 0, 0)
    assert not progress.tasks[0].finished
    board("curate", 1, 1)
    assert progress.tasks[0].finished


def test_the_end_of_a_stage_does_not_undo_what_its_bar_counted() -> None:
    progress = Progress()
    board = Board(progress)
    board("train", 42, 42)
    board("train", 1, 1)
    assert (progress.tasks[0].completed, progress.tasks[0].total) == (42, 42)


def test_a_training_says_its_method_why_and_what_was_left_out() -> None:
    run = TrainingRun(
        id="run_1", snapshot_id="s", method="kto", reason="[training] says so", dropped={"same": 2, "empty": 1},
        recipe={}, seed=0, adapter_digest="d", seconds=1, model_seconds=1,
    )  # fmt: skip
    assert training_line(run) == r"trained by kto: \[training] says so; left out: 1 empty, 2 same"
    assert training_line(run.model_copy(update={"dropped": {}})) == r"trained by kto: \[training] says so"
