"""Candidates in, an order out: nothing else decides, not even the clock."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from deployments.schemas import Weights
from deployments.search.ranking import rank, recency, scaled
from deployments.storage.candidates import Candidate

NOW = datetime(2026, 1, 1, tzinfo=UTC)
NOTHING = Weights(similarity=0, words=0, importance=0, recency=0)


def candidate(number: int, **fields: Any) -> Candidate:
    parts = {"similarity": None, "words": 0.0, "importance": None, "created_at": NOW, **fields}
    return Candidate(
        id=UUID(int=number), conversation_id="c", role="user", name=None, content="", metadata="{}", **parts
    )


def order(candidates: list[Candidate], weights: Weights, top_k: int = 100) -> list[int]:
    return [ranked.candidate.id.int for ranked in rank(candidates, weights, NOW, top_k)]


def test_nothing_is_ranked_as_nothing() -> None:
    assert rank([], Weights(), NOW, 10) == []


@pytest.mark.parametrize(
    ("part", "values"),
    [
        ("similarity", [-0.5, 0.9, 0.1]),
        ("words", [0.0, 12.0, 3.0]),
        ("importance", [0.1, 0.9, 0.5]),
    ],
)
def test_a_weight_orders_by_its_part(part: str, values: list[float]) -> None:
    candidates = [candidate(number, **{part: value}) for number, value in enumerate(values)]

    assert order(candidates, NOTHING.model_copy(update={part: 1.0})) == [1, 2, 0]


def test_the_weight_of_recency_orders_by_time() -> None:
    candidates = [candidate(number, created_at=NOW - timedelta(days=age)) for number, age in enumerate([9, 0, 3])]

    assert order(candidates, NOTHING.model_copy(update={"recency": 1.0})) == [1, 2, 0]


def test_the_parts_are_each_scaled_weighted_and_add_up() -> None:
    weights = Weights(similarity=2, words=3, importance=0.5, recency=0.25)
    candidates = [
        candidate(1, similarity=0.5, words=4.0, importance=0.5, created_at=NOW - timedelta(days=30)),
        candidate(2, similarity=0.9, words=0.0, importance=None),
        candidate(3, similarity=0.1, words=8.0, importance=1.0),
    ]

    ranked = {each.candidate.id.int: each for each in rank(candidates, weights, NOW, 10)}

    expected = {"similarity": 1.0, "words": 1.5, "importance": 0.25, "recency": 0.125}
    assert ranked[1].parts._asdict() == pytest.approx(expected)
    assert ranked[2].parts._asdict() == pytest.approx(
        {"similarity": 2.0, "words": 0.0, "importance": 0.0, "recency": 0.25}
    )
    assert ranked[3].parts._asdict() == pytest.approx(
        {"similarity": 0.0, "words": 3.0, "importance": 0.5, "recency": 0.25}
    )
    for each in ranked.values():
        assert each.score == pytest.approx(sum(each.parts))


def test_of_two_as_good_the_newer_comes_first() -> None:
    older = candidate(2, words=1.0, created_at=NOW - timedelta(seconds=1))
    newer = candidate(1, words=1.0)

    assert order([older, newer], Weights()) == [1, 2]


def test_the_order_of_the_candidates_does_not_matter() -> None:
    candidates = [candidate(number, words=float(number % 3)) for number in range(12)]

    assert order(candidates, Weights()) == order(candidates[::-1], Weights())


@pytest.mark.parametrize(("top_k", "expected"), [(1, [4]), (3, [4, 3, 2]), (50, [4, 3, 2, 1, 0])])
def test_only_the_best_are_kept(top_k: int, expected: list[int]) -> None:
    candidates = [candidate(number, words=float(number)) for number in range(5)]

    assert order(candidates, Weights(), top_k) == expected


def test_a_candidate_without_a_vector_is_ranked_by_its_words() -> None:
    candidates = [candidate(1, similarity=0.1), candidate(2, similarity=0.2), candidate(3, words=5.0)]

    assert order(candidates, Weights(similarity=0.5, words=0.6)) == [3, 2, 1]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], []),
        ([None, None], [0, 0]),
        ([3.0], [1]),
        ([0.0], [0]),
        ([2.0, 2.0, None], [1, 1, 0]),
        ([0.0, 0.0], [0, 0]),
        ([1.0, 2.0, 5.0], [0, 0.25, 1]),
        ([-1.0, None, 1.0], [0, 0, 1]),
        ([float("nan"), 1.0, 3.0], [0, 0, 1]),
        ([float("nan")], [0]),
    ],
)
def test_values_are_stretched_over_0_to_1(values: list[float | None], expected: list[float]) -> None:
    assert scaled(values) == expected


@pytest.mark.parametrize(("days", "expected"), [(0, 1), (30, 0.5), (60, 0.25), (300, 0.5**10), (-5, 1)])
def test_recency_halves_every_thirty_days(days: float, expected: float) -> None:
    assert recency(NOW - timedelta(days=days), NOW) == pytest.approx(expected)
