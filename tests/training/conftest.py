"""A workplace that trains the tiny model in a real child process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sharpen.config import Config, parse
from sharpen.models.weights import digest
from sharpen.records import ModelVersion, Snapshot, TrainingRun
from sharpen.store import Store
from sharpen.training.launch import train

PAIRS = {"my bill is wrong": "billing", "where is my parcel": "delivery", "do you sell kettles": "sales"}


def row(question: str, chosen: str, rejected: str | None = None) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": question}], "chosen": chosen, "rejected": rejected}


ROWS = [row(question, answer) for question, answer in PAIRS.items()]


@dataclass
class Shop:
    """A home folder, a store, and the version to start from."""

    base: Path
    config: Config
    store: Store

    def version_0(self) -> ModelVersion:
        return ModelVersion(id="ver_0", base="tiny", base_digest=digest(self.base), template_digest="t" * 16)

    def train(self, rows: list[dict[str, Any]] | None = None, *, seed: int = 0, **more: Any) -> Any:
        snapshot = Snapshot(id="snp_1", cycle_id="c1", example_ids=(), counts={}, dropped={})
        fields = {"base": self.base, "parent": self.version_0()} | more
        return train(self.config, self.store, snapshot, ROWS if rows is None else rows, seed=seed, **fields)


@pytest.fixture(scope="session")
def shops(tiny_base: Path) -> Iterator[Callable[..., Shop]]:
    """Return a maker of workplaces in a given folder."""
    opened = []

    def make(home: Path, **training: Any) -> Shop:
        settings = {"epochs": 100.0, "learning_rate": 0.003, "batch": 2, "rank": 8, "attempts": 2} | training
        config = parse({"home": str(home), "models": {"threads": 1}, "training": settings})
        shop = Shop(tiny_base, config, Store.open(config.store_url))
        opened.append(shop)
        return shop

    yield make
    for shop in opened:
        shop.store.close()


@pytest.fixture(scope="session")
def trained(shops: Callable[..., Shop], tmp_path_factory: pytest.TempPathFactory) -> tuple[Shop, TrainingRun, Any]:
    """Train once, for every test that looks at the result."""
    shop = shops(tmp_path_factory.mktemp("trained"))
    run, version = shop.train()
    return shop, run, version
