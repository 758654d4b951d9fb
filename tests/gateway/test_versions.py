from __future__ import annotations

from collections.abc import Callable
from typing import Any

import openai
import pytest

Start = Callable[..., Any]


def test_the_list_names_the_champion_and_every_version(start: Start) -> None:
    served = start()
    served.deploy("ver_1")
    listed = served.client.models.list().data
    assert [model.id for model in listed] == ["sharpen", "ver_1", "ver_0"]
    assert served.client.models.retrieve("sharpen").to_dict()["root"] == "ver_1"
    assert served.client.models.retrieve("ver_0").owned_by == "sharpen"


def test_a_model_that_is_not_there_is_a_404(start: Start) -> None:
    served = start()
    with pytest.raises(openai.NotFoundError):
        served.client.models.retrieve("gpt-4o")
    assert served.http.get("/v1/models/org/name").json()["error"]["code"] == "model_not_found"
