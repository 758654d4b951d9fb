"""How sure we are: intervals, paired differences, tests that may be looked at often, power, and a budget of errors.

In: arrays of scores (0-1) and the cluster each case belongs to. Out: numbers. Must not know records, suites or models.
"""

from __future__ import annotations

from sharpen.stats.clusters import MOST_RESAMPLES, Clusters, Floats
from sharpen.stats.intervals import Interval, mean_interval, newcombe, tango, wilson
from sharpen.stats.paired import paired_difference, sign_flip_p
from sharpen.stats.power import cases_for, conditional_power, power_of
from sharpen.stats.sequential import confidence_sequence, log_capital
from sharpen.stats.spending import HORIZON, holm, spend

__all__ = [
    "HORIZON",
    "MOST_RESAMPLES",
    "Clusters",
    "Floats",
    "Interval",
    "cases_for",
    "conditional_power",
    "confidence_sequence",
    "holm",
    "log_capital",
    "mean_interval",
    "newcombe",
    "paired_difference",
    "power_of",
    "sign_flip_p",
    "spend",
    "tango",
    "wilson",
]
