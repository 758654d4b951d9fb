from __future__ import annotations

import pytest

from sharpen.errors import ConfigError, TrackerError
from sharpen.tracking.refusal import refusals_of


def test_whatever_a_tracker_raises_is_one_kind_of_error_that_says_what_to_do() -> None:
    with (
        pytest.raises(TrackerError, match="MLflow refused, at /somewhere: 7") as caught,
        refusals_of("MLflow", "delete it", "/somewhere"),
    ):
        raise KeyError(7)
    assert caught.value.next_step == "delete it"
    assert isinstance(caught.value.__cause__, KeyError)


def test_our_own_errors_go_through_as_they_are() -> None:
    with pytest.raises(ConfigError, match="no key"), refusals_of("LangSmith", "set it"):
        raise ConfigError("There is no key.", "export it")


def test_a_page_of_html_is_cut() -> None:
    with pytest.raises(TrackerError) as caught, refusals_of("LangSmith", "look"):
        raise RuntimeError("<html>" * 1000)
    assert len(caught.value.what) <= 500
