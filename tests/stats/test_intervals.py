from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import gammaln, ndtri
from scipy.stats import binomtest

from sharpen.errors import Refused
from sharpen.stats import newcombe, tango, wilson
from sharpen.stats.intervals import tango_z


@given(
    st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.sampled_from([0.9, 0.95, 0.99])
)
def test_wilson_is_what_scipy_computes(counts: tuple[int, int], level: float) -> None:
    successes, n = counts
    ours = wilson(successes, n, level)
    theirs = binomtest(successes, n).proportion_ci(level, method="wilson")
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1e-12)
    assert 0 <= ours.low <= ours.value <= ours.high <= 1


@pytest.mark.parametrize(
    ("counts", "by_tango", "by_newcombe"),
    [
        # Airway reactivity before and after stem cell transplantation: Fagerland, Lydersen and Laake 2014, Stat. Med.
        # 33:2850-2875.
        ((1, 1, 7, 12), (-0.517, -0.026), (-0.507, -0.026)),
    ],
)
def test_paired_shares_have_the_intervals_that_were_published(
    counts: tuple[int, int, int, int], by_tango: tuple[float, float], by_newcombe: tuple[float, float]
) -> None:
    both, won, lost, neither = counts
    ours, theirs = tango(won, lost, sum(counts)), newcombe(both, won, lost, neither)
    assert (ours.low, ours.high) == pytest.approx(by_tango, abs=6e-4)
    assert (theirs.low, theirs.high) == pytest.approx(by_newcombe, abs=6e-4)


def _by_yang(won: int, lost: int, n: int, level: float) -> tuple[float, float]:
    """Tango's interval without iteration: real roots of a quartic (Yang, Sun and Hardin, Stat. Med.)."""
    g, d, s = ndtri(0.5 + level / 2) ** 2, won - lost, won + lost
    m = [
        n**2 * (n / g + 1) ** 2,
        -n * d * (n / g + 1) * (4 * n / g + 1),
        2 * n * d**2 * (3 * n / g + 2) / g - n**2 * (s / g + 1),
        n * d * (2 * s / g + 1) - d**3 * (4 * n / g + 1) / g,
        d**2 * (d**2 / g - s) / g,
    ]
    roots = np.roots(m)
    real = sorted(float(root.real) for root in roots if abs(root.imag) < 1e-6 and abs(root.real) <= 1)
    return real[0], real[-1]


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 400))
def test_tango_by_halving_is_tango_by_the_quartic(won: int, lost: int, tied: int) -> None:
    n = won + lost + tied
    ours = tango(won, lost, n)
    assert (ours.low, ours.high) == pytest.approx(_by_yang(won, lost, n, 0.95), abs=1e-5)


@given(st.integers(0, 30), st.integers(0, 30), st.integers(1, 300), st.floats(0.5, 0.999))
def test_swapping_the_sides_mirrors_the_intervals(won: int, lost: int, tied: int, level: float) -> None:
    n = won + lost + tied
    there, back = tango(won, lost, n, level), tango(lost, won, n, level)
    assert (there.low, there.high) == pytest.approx((-back.high, -back.low), abs=1e-9)
    assert -1 <= there.low <= there.value <= there.high <= 1
    across, again = newcombe(tied, won, lost, 3, level), newcombe(tied, lost, won, 3, level)
    assert (across.low, across.high) == pytest.approx((-again.high, -again.low), abs=1e-9)


@pytest.mark.parametrize("alpha", [0.0165, 0.008, 0.0013])
@pytest.mark.parametrize("n", [80, 400, 1000])
@pytest.mark.parametrize(("margin", "discordant"), [(0.05, 0.06), (0.05, 0.15), (0.02, 0.04), (0.02, 0.15)])
def test_a_loss_of_the_margin_passes_no_more_often_than_alpha(
    alpha: float, n: int, margin: float, discordant: float
) -> None:
    """The chance over every possible outcome, added up, not simulated."""
    p_won, p_lost = (discordant - margin) / 2, (discordant + margin) / 2
    most = int(n * discordant + 9 * np.sqrt(n * discordant) + 12)
    z, chance = -float(ndtri(alpha)), 0.0
    for won in range(most):
        # For a given number won, the claim holds up to some number lost: find it, then add the chances below.
        lost = 0
        while won + lost <= n and tango_z(won, lost, n, -margin) >= z:
            lost += 1
        losses = np.arange(lost)
        ties = n - won - losses
        logs = gammaln(n + 1) - gammaln(won + 1) - gammaln(losses + 1) - gammaln(ties + 1)
        logs += won * np.log(p_won) + losses * np.log(p_lost) + ties * np.log1p(-discordant)
        chance += float(np.exp(logs).sum())
    assert chance <= alpha


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: wilson(0, 0), "n >= 1"),
        (lambda: wilson(3, 2), "3 of 2"),
        (lambda: tango(3, 3, 5), "3 won and 3 lost of 5"),
        (lambda: tango(0, 0, 0), "n >= 1"),
        (lambda: newcombe(0, -1, 2, 4), "-1 won"),
        (lambda: tango(1, 1, 5, level=1.0), "between 0 and 1"),
    ],
)
def test_counts_that_make_no_sense_are_refused(call, said: str) -> None:
    with pytest.raises(Refused, match=said):
        call()
