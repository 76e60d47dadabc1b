"""Confidence intervals of means and percentiles, by the bootstrap."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

RESAMPLES = 2_000
CONFIDENCE_PERCENT = 95
_TAILS = (50 - CONFIDENCE_PERCENT / 2, 50 + CONFIDENCE_PERCENT / 2)

Values: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Interval:
    """A value and its 95 % confidence interval, in the unit of the measurement."""

    value: float
    low: float
    high: float


def means(values: Values, seed: int) -> list[Interval]:
    """Return the mean of each column of `values`, shape (questions, columns)."""
    return bootstrap(values, lambda sample: sample.mean(axis=0), seed)


def percentiles(values: Values, percents: tuple[int, ...], seed: int) -> list[Interval]:
    """Return these percentiles of `values`, shape (questions,)."""
    return bootstrap(values, lambda sample: np.percentile(sample, percents), seed)


def bootstrap(values: Values, statistic: Callable[[Values], Values], seed: int) -> list[Interval]:
    """Return the percentile interval of each column of `statistic`, from 2,000 resamples of the rows of `values`.

    Efron & Tibshirani, "An Introduction to the Bootstrap" (1993), chapter 13. `values`: at least one row, one for each
    question. To compare two configurations, pass their differences by question, which makes the test paired. The same
    seed draws the same rows. With one row the interval has no width.
    """
    generator = np.random.default_rng(seed)
    rows = len(values)
    drawn = np.array([statistic(values[generator.integers(rows, size=rows)]) for _ in range(RESAMPLES)])
    lows, highs = np.percentile(drawn, _TAILS, axis=0)
    found = statistic(values)
    return [Interval(float(v), float(low), float(high)) for v, low, high in zip(found, lows, highs, strict=True)]
