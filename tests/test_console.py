from __future__ import annotations

from rich.progress import Progress

from sharpen.console import Board


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
