from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sharpen.fairness.weights import TRIM, weigh

HONEST = {f"m{at}": 1.0 for at in range(40)} | {f"n{at}": 1.0 for at in range(10)}
TARGET = {"group": {"majority": 0.5, "minority": 0.5}}


def honest(fakes: int = 0, rows_each: int = 1) -> tuple[list[str], list[str]]:
    """Return sources and groups: 40 trusted of the majority, 10 of the minority, and fakes that claim the latter."""
    sources = [source for source in HONEST for _ in range(3)] + [
        f"f{at}" for at in range(fakes) for _ in range(rows_each)
    ]
    groups = ["majority" if source[0] == "m" else "minority" for source in sources]
    return sources, groups


def test_trusted_minorities_are_weighed_up_to_their_target() -> None:
    sources, groups = honest()
    found = weigh(sources, {"group": groups}, TARGET, reliability=HONEST)
    share = found.weight_N[[group == "minority" for group in groups]].sum() / found.weight_N.sum()
    assert share == pytest.approx(0.5)
    assert found.explain(0)["raking"] == pytest.approx(0.625) and found.explain(-1)["raking"] == pytest.approx(2.5)


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 400), st.integers(1, 8))
def test_fake_identities_of_a_minority_gain_no_more_than_one_trusted_source(fakes: int, rows_each: int) -> None:
    sources, groups = honest(fakes, rows_each)
    found = weigh(sources, {"group": groups}, TARGET, reliability=HONEST)
    by_source = {source: found.weight_N[[one == source for one in sources]].sum() for source in ("m0", "n0")}
    forged = found.weight_N[[source[0] == "f" for source in sources]].sum()
    assert forged <= max(by_source.values()) * (1 + 1e-9)
    trusted = found.weight_N[[source[0] == "n" for source in sources]].sum()
    assert trusted / found.weight_N.sum() > 0.8 * 0.5  # and the honest minority keeps its weight


def test_one_loud_source_counts_for_a_bounded_number_of_rows() -> None:
    sources = ["loud"] * 500 + [f"s{at}" for at in range(100)]
    found = weigh(sources, {}, {}, reliability=dict.fromkeys(sources, 1.0))
    assert found.factors["source cap"][:500].sum() <= 5 + 9 + 1e-9
    assert found.weight_N[:500].sum() / found.weight_N.sum() < 0.13


def test_near_duplicates_share_a_weight_and_a_brigade_counts_once() -> None:
    sources = [f"s{at}" for at in range(30)]
    size_N = np.array([10] * 10 + [10] * 10 + [1] * 10)
    flagged_N = np.array([False] * 10 + [True] * 10 + [False] * 10)
    found = weigh(
        sources, {}, {}, reliability=dict.fromkeys(sources, 1.0), cluster_size_N=size_N, is_brigade_N=flagged_N
    )
    factor_N = found.factors["duplicates"]
    assert factor_N[:10].sum() == pytest.approx(np.sqrt(10)) and factor_N[10:20].sum() == pytest.approx(1)
    assert factor_N[20:].tolist() == [1.0] * 10


def test_a_weight_is_the_product_of_its_factors_up_to_scale() -> None:
    sources, groups = honest(3)
    found = weigh(sources, {"group": groups}, TARGET, reliability=HONEST)
    product_N = np.prod(np.stack(list(found.factors.values())), axis=0)
    ratio_N = found.weight_N / product_N
    assert ratio_N == pytest.approx(np.full(len(sources), ratio_N[0]))
    assert set(found.explain(0)) == {"reliability", "duplicates", "source cap", "raking", "newcomers", "weight"}


def test_where_nobody_is_trusted_yet_nobody_is_weighed_up() -> None:
    sources, groups = honest()
    found = weigh(sources, {"group": groups}, TARGET)
    assert (found.factors["raking"] == 1).all() and found.weight_N == pytest.approx(np.ones(len(sources)))


def test_nobody_is_weighed_up_without_bound() -> None:
    sources = [f"s{at}" for at in range(1000)]
    groups = ["minority"] * 3 + ["majority"] * 997
    found = weigh(sources, {"group": groups}, TARGET, reliability=dict.fromkeys(sources, 1.0))
    assert found.factors["raking"][0] <= TRIM * np.median(found.factors["raking"]) * (1 + 1e-6)
