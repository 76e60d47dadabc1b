"""Intervals: the same for the same seed, as wide as the theory says, and none where there is nothing to vary."""

import numpy as np
import pytest

from jobs.evaluation.intervals import means, percentiles


def test_the_same_seed_gives_the_same_interval() -> None:
    values = np.random.default_rng(7).random((50, 3))

    assert means(values, seed=1) == means(values, seed=1)
    assert means(values, seed=1) != means(values, seed=2)


def test_the_interval_of_a_mean_is_what_the_normal_approximation_gives() -> None:
    values = np.random.default_rng(7).normal(10, 2, (400, 1))
    standard_error = values.std() / 20

    (found,) = means(values, seed=0)

    assert found.value == pytest.approx(values.mean())
    assert found.low == pytest.approx(values.mean() - 1.96 * standard_error, abs=0.03)
    assert found.high == pytest.approx(values.mean() + 1.96 * standard_error, abs=0.03)


def test_one_question_has_an_interval_without_width() -> None:
    (found,) = means(np.array([[40.0]]), seed=0)

    assert (found.value, found.low, found.high) == (40, 40, 40)


def test_where_all_are_equal_the_interval_has_no_width() -> None:
    assert [(each.low, each.high) for each in means(np.ones((30, 2)), seed=0)] == [(1, 1), (1, 1)]


def test_a_paired_difference_is_surer_than_the_two_figures() -> None:
    """Two configurations that differ by little on questions that differ much."""
    first = np.random.default_rng(7).choice([0.0, 100.0], (200, 1))
    second = np.clip(first + 1, 0, 100)

    (difference,) = means(second - first, seed=0)
    (figure,) = means(second, seed=0)

    assert difference.low > 0
    assert difference.high - difference.low < (figure.high - figure.low) / 10


def test_percentiles_have_intervals_too() -> None:
    p50, p95 = percentiles(np.arange(101.0), (50, 95), seed=0)

    assert (p50.value, p95.value) == (50, 95)
    assert p50.low < 50 < p50.high
    assert p95.low < 95 < p95.high <= 100
