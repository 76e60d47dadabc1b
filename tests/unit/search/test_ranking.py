"""Candidates in, an order out: nothing else decides, not even the clock."""

import copy
import math
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from deployments.search.ranking import (
    Parts,
    Question,
    rank,
    recency,
    scaled,
)
from deployments.search_schemas import MAX_TOP_K, Weights
from deployments.storage.candidates import Candidates
from tests.unit.search.ranked import (
    ALL,
    BM25,
    DAY,
    NAN,
    NOTHING,
    NOW,
    ONCE,
    TWICE,
    among,
    anything,
    candidate,
    only,
    order,
    parts,
    ranking,
)

QUERIES = ["Which one?", "What did I say last week?", "When did Ida and Bo move?", "What did you recommend yesterday?"]

# The sum and the order.


def test_nothing_is_ranked_as_nothing() -> None:
    assert rank(Candidates([]), Question("Which one?", NOW), ALL, BM25, 10) == []


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("query", QUERIES)
def test_the_parts_add_up_to_the_score(query: str, seed: int) -> None:
    for each in ranking(anything(seed), query=query):
        assert each.score == sum(each.parts)
        assert math.isfinite(each.score)


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("query", QUERIES)
def test_every_part_is_between_nothing_and_its_weight(query: str, seed: int) -> None:
    weights = Weights(
        similarity=1.1, words=1.2, speaker=1.3, time=1.4, importance=1.5, recency=1.6, session=1, diversity=2
    )
    without_session = 1.1 + 1.2 + 1.3 + 1.4 + 1.5 + 1.6

    for each in ranking(anything(seed), weights, query=query):
        for part in ("similarity", "words", "speaker", "time", "importance", "recency"):
            assert 0 <= getattr(each.parts, part) <= getattr(weights, part)
        assert 0 <= each.parts.session <= without_session
        assert each.parts.repetition == 0 or -2 <= each.parts.repetition <= -1.6


@pytest.mark.parametrize("seed", range(10))
def test_the_better_comes_first(seed: int) -> None:
    scores = [each.score for each in ranking(anything(seed), query="What did Ida say last week?")]

    assert scores == pytest.approx(sorted(scores, reverse=True))


WORST_BEST_MIDDLE: dict[str, list[dict[str, Any]]] = {
    "similarity": [{"closeness": -0.5}, {"closeness": 0.9}, {"closeness": 0.1}],
    "words": [{"ranks": (0.0,)}, {"ranks": (TWICE,)}, {"ranks": (ONCE,)}],
    "importance": [{"importance": None}, {"importance": 0.9}, {"importance": 0.5}],
    "recency": [{"created_at": NOW - 9 * DAY}, {"created_at": NOW}, {"created_at": NOW - 3 * DAY}],
}


@pytest.mark.parametrize("part", WORST_BEST_MIDDLE)
def test_a_weight_orders_by_its_part_alone(part: str) -> None:
    candidates = [candidate(number, **fields) for number, fields in enumerate(WORST_BEST_MIDDLE[part])]

    assert order(candidates, only(**{part: 1.0})) == [1, 2, 0]
    for each in ranking(candidates, only(**{part: 2.0})):
        assert each.score == getattr(each.parts, part)


@pytest.mark.parametrize(
    ("part", "query", "least", "most"),
    [
        ("speaker", "What did Ida say?", {"name": "Bo"}, {"name": "Ida"}),
        ("time", "What was it last week?", {"created_at": NOW - 30 * DAY}, {"created_at": NOW - 8 * DAY}),
        ("time", "When was it?", {"content": "a cat"}, {"content": "on Monday"}),
    ],
)
def test_what_the_query_speaks_of_comes_first(
    part: str, query: str, least: dict[str, Any], most: dict[str, Any]
) -> None:
    candidates = [candidate(number, **(most if number == 2 else least)) for number in (1, 2, 3)]

    assert order(candidates, only(**{part: 1.0}), query=query)[0] == 2
    assert order(candidates, NOTHING, query=query) == sorted(
        [1, 2, 3], key=lambda number: (candidates[number - 1].created_at, number), reverse=True
    )


def test_the_parts_are_each_scaled_and_weighted() -> None:
    weights = Weights(
        similarity=2, words=3, speaker=0.5, time=0.25, importance=0.5, recency=0.125, session=0, diversity=1
    )
    candidates = [
        candidate(1, name="Ida", closeness=0.5, ranks=(ONCE,), importance=0.5, created_at=NOW - 30 * DAY),
        candidate(2, closeness=0.9, importance=None, created_at=NOW - 8 * DAY),
        candidate(3, closeness=0.1, importance=1.0, content="content2 content2"),
    ]

    found = parts(candidates, weights, query="What did Ida say last week?")

    assert found[1] == pytest.approx(Parts(1, 3, 0.5, 0, 0.25, 0.0625, 0, 0))
    assert found[2] == pytest.approx(Parts(2, 0, 0, 0.25, 0, 0.125 * 0.5 ** (8 / 30), 0, 0))
    assert found[3] == pytest.approx(Parts(0, 0, 0, 0, 0.5, 0.125, 0, -1))


def test_without_weights_the_newest_comes_first() -> None:
    candidates = [
        candidate(number, created_at=NOW - age * DAY, importance=age / 9, closeness=age / 9)
        for number, age in enumerate([4, 0, 9, 2])
    ]

    found = ranking(candidates, NOTHING)

    assert [each.candidate.id.int for each in found] == [1, 3, 0, 2]
    assert {each.score for each in found} == {0.0}


def test_of_two_as_good_the_newer_comes_first_and_then_the_one_with_the_later_id() -> None:
    older = candidate(9, created_at=NOW - timedelta(microseconds=1), importance=0.5)
    first, second = candidate(1, importance=0.5), candidate(2, importance=0.5)

    for candidates in ([older, first, second], [second, first, older], [first, older, second]):
        assert order(candidates, only(importance=1.0)) == [2, 1, 9]


def test_of_two_as_good_once_one_is_put_back_the_newer_comes_first() -> None:
    better = candidate(1, importance=1.0, content="as it was")
    repeated = candidate(2, importance=0.75, content="as it was", created_at=NOW - DAY)
    newer = candidate(3, importance=0.25)

    found = ranking([better, repeated, newer], only(importance=1.0, diversity=0.5))

    assert [each.score for each in found] == [1.0, 0.25, 0.25]
    assert [each.candidate.id.int for each in found] == [1, 3, 2]


@pytest.mark.parametrize("diversity", [0.0, 1.0])
def test_the_hits_are_ordered_by_the_very_scores_that_they_have(diversity: float) -> None:
    """Many are as good as another, by other parts: where a sum is rounded otherwise, the order of two is another."""
    weights = Weights(similarity=0.7, words=0.3, importance=0.6, recency=0.3, diversity=diversity)

    for seed in range(20):
        rng = random.Random(seed)
        candidates = [
            candidate(
                number,
                conversation_id=rng.choice("abc"),
                importance=rng.choice([0, 0.1, 0.2, 0.3, 0.6, 0.7, 0.9]),
                closeness=rng.choice([0, 0.1, 0.2, 0.3, 0.4, 0.7, 1]),
                created_at=NOW - rng.choice([0, 30, 60]) * DAY,
                ranks=(rng.choice([0.0, ONCE, TWICE]),),
            )
            for number in range(40)
        ]
        found = ranking(candidates, weights)
        keys = [(each.score, each.candidate.created_at, each.candidate.id) for each in found]
        assert keys == sorted(keys, reverse=True)


@pytest.mark.parametrize("seed", range(10))
def test_the_order_of_the_candidates_does_not_matter(seed: int) -> None:
    candidates = anything(seed)
    shuffled = random.Random(seed).sample(candidates, k=len(candidates))

    assert order(shuffled, query="What did Ida say?") == order(candidates, query="What did Ida say?")


@pytest.mark.parametrize("diversity", [0.0, 1.0])
@pytest.mark.parametrize(
    ("top_k", "expected"), [(1, [5]), (3, [5, 4, 3]), (5, [5, 4, 3, 2, 1]), (100, [5, 4, 3, 2, 1])]
)
def test_only_the_best_are_kept(top_k: int, expected: list[int], diversity: float) -> None:
    candidates = [candidate(number, importance=number / 10) for number in range(1, 6)]

    assert order(candidates, only(importance=1.0, diversity=diversity), top_k) == expected


def test_as_many_are_kept_as_are_asked_for() -> None:
    assert len(ranking(anything(0, 500), top_k=MAX_TOP_K)) == MAX_TOP_K
    assert (
        order(anything(0, 500), only(importance=1, recency=1), 7)
        == (order(anything(0, 500), only(importance=1, recency=1), 20)[:7])
    )


def test_ranking_twice_is_ranking_once_and_changes_nothing() -> None:
    found = among(anything(1))
    before = copy.deepcopy(found)
    question = Question("What did Ida say last week?", NOW)

    once = rank(found, question, ALL, BM25, 10)

    assert repr(rank(found, question, ALL, BM25, 10)) == repr(once)
    assert repr(found) == repr(before)


# What is missing.


@pytest.mark.parametrize("weights", [ALL, NOTHING, only(similarity=1), only(words=1), only(session=1)])
@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"closeness": NAN},
        {"closeness": 0.0},
        {"closeness": -0.5},
        {"importance": 0.0},
        {"ranks": ()},
        {"term_count": 0},
        {"ranks": (ONCE,), "term_count": 1},
        {"content": ""},
        {"name": "", "content": "\N{GRINNING FACE}"},
        {"created_at": datetime.min.replace(tzinfo=UTC)},
        {"created_at": datetime.max.replace(tzinfo=UTC)},
    ],
)
@pytest.mark.parametrize("count", [1, 3])
def test_no_score_is_missing_or_infinite(count: int, fields: dict[str, Any], weights: Weights) -> None:
    found = ranking([candidate(number, **fields) for number in range(count)], weights)

    assert len(found) == count
    for each in found:
        assert all(math.isfinite(part) for part in each.parts)
        assert type(each.score) is float
        assert all(type(part) is float for part in each.parts)


def test_nothing_need_be_known_of_the_other_messages() -> None:
    found = rank(Candidates([candidate(1, ranks=())]), Question("?", NOW), ALL, BM25, 5)

    assert [each.parts.words for each in found] == [0]


def test_a_query_without_terms_is_ranked_by_the_rest() -> None:
    candidates = [candidate(number, ranks=(), closeness=closeness) for number, closeness in enumerate([0.1, 0.9, 0.5])]

    assert order(candidates) == [1, 2, 0]
    assert {each.parts.words for each in ranking(candidates)} == {0.0}


def test_an_unscored_message_counts_as_unimportant() -> None:
    candidates = [candidate(1, importance=None), candidate(2, importance=0.1)]

    assert parts(candidates, only(importance=1.0))[1].importance == 0


@pytest.mark.parametrize("missing", [None, NAN])
def test_what_has_no_closeness_counts_its_words_for_both(missing: float | None) -> None:
    candidates = [
        candidate(1, closeness=0.1),
        candidate(2, closeness=0.5),
        candidate(3, closeness=missing, ranks=(TWICE,)),
        candidate(4, closeness=missing, ranks=(ONCE,)),
        candidate(5, closeness=missing),
    ]

    found = parts(candidates, only(similarity=2.0, words=1.0))

    assert found[1][:2] == pytest.approx((0, 0))
    assert found[2][:2] == pytest.approx((2, 0))
    assert found[3][:2] == pytest.approx((2, 1))
    assert found[4].similarity == pytest.approx(2 * found[4].words)
    assert 0 < found[4].words < 1
    assert found[5][:2] == (0, 0)


def test_where_nothing_is_embedded_words_stand_for_both() -> None:
    candidates = [candidate(1), candidate(2, ranks=(TWICE,)), candidate(3, ranks=(ONCE,))]

    assert order(candidates, only(similarity=1.0)) == [2, 3, 1]


# The scales.


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], []),
        ([NAN, NAN], [NAN, NAN]),
        ([3.0], [1]),
        ([0.0], [0]),
        ([-1.0], [0]),
        ([2.0, 2.0, NAN], [1, 1, NAN]),
        ([0.0, 0.0], [0, 0]),
        ([1.0, 2.0, 5.0], [0, 0.25, 1]),
        ([-1.0, NAN, 1.0, 0.0], [0, NAN, 1, 0.5]),
    ],
)
def test_values_are_stretched_over_0_to_1(values: list[float], expected: list[float]) -> None:
    assert scaled(np.array(values)).tolist() == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize("days", [0, 1, 30, 60, 300])
def test_recency_halves_every_thirty_days(days: float) -> None:
    assert recency(NOW - days * DAY, NOW) == pytest.approx(0.5 ** (days / 30))


@pytest.mark.parametrize("days", [-1e-6, -5, -3_000])
def test_the_future_is_as_recent_as_now(days: float) -> None:
    assert recency(NOW - days * DAY, NOW) == 1


def test_what_is_ages_old_is_still_a_little_recent_or_not_at_all() -> None:
    assert 0 <= recency(datetime.min.replace(tzinfo=UTC), NOW) < 1e-9
