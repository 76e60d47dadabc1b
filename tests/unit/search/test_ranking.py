"""Candidates in, an order out: nothing else decides, not even the clock."""

import copy
import math
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from deployments.schemas.candidates import Candidate, Candidates
from deployments.schemas.search import MAX_TOP_K, Weights
from deployments.search.ranking.ordering import Floors
from deployments.search.ranking.parts import Parts
from tests.unit.search.generated import GENERATED
from tests.unit.search.ranked import (
    ALL,
    ANYTHING,
    BM25,
    DAY,
    NAN,
    NOTHING,
    NOW,
    ONCE,
    QUERIES,
    TWICE,
    WEIGHTS,
    among,
    candidate,
    only,
    order,
    parts,
    question,
    ranked,
    ranking,
    scores,
)

# What holds whatever is found.


@GENERATED
@given(candidates=ANYTHING, weights=WEIGHTS, query=st.sampled_from(QUERIES))
@example(candidates=[candidate(1)], weights=only(similarity=5e-324, importance=1.0), query="Which one?")
def test_a_score_is_the_sum_of_its_parts_and_between_0_and_1(
    candidates: list[Candidate], weights: Weights, query: str
) -> None:
    for each in ranking(candidates, weights, query=query):
        assert each.score == pytest.approx(sum(each.parts), abs=1e-9)
        assert 0 <= each.score <= 1 + 1e-9
        assert min(each.parts[:-2]) >= 0


@GENERATED
@given(candidates=ANYTHING, weights=WEIGHTS, query=st.sampled_from(QUERIES), top_k=st.integers(1, 12))
def test_the_best_come_first_then_the_newest_then_those_with_the_latest_id(
    candidates: list[Candidate], weights: Weights, query: str, top_k: int
) -> None:
    found = ranking(candidates, weights, top_k, query)
    keys = [(each.score, each.candidate.created_at, each.candidate.id) for each in found]

    assert len(set(keys)) == len(keys) == min(len(candidates), top_k)
    assert keys == sorted(keys, reverse=True)


@GENERATED
@given(candidates=ANYTHING, query=st.sampled_from(QUERIES), data=st.data())
def test_the_order_of_the_candidates_does_not_matter(
    candidates: list[Candidate], query: str, data: st.DataObject
) -> None:
    shuffled = data.draw(st.permutations(candidates))

    assert scores(shuffled, query=query) == pytest.approx(scores(candidates, query=query))


@GENERATED
@given(candidates=ANYTHING, weights=WEIGHTS, query=st.sampled_from(QUERIES), closeness=st.floats(-1, 1))
def test_a_score_means_the_same_whatever_else_is_found(
    candidates: list[Candidate], weights: Weights, query: str, closeness: float
) -> None:
    """The other is in a conversation of its own, holds none of the words, and was said by nobody who is named."""
    other = candidate(99, closeness=closeness, ranks=(0.0, 0.0), role="tool", importance=1.0)

    alone, together = scores(candidates, weights, query=query), scores([*candidates, other], weights, query=query)

    assert {number: together[number] for number in alone} == pytest.approx(alone, abs=1e-9)


@GENERATED
@given(candidates=ANYTHING, least=st.floats(0, 1))
def test_a_least_score_leaves_out_what_scores_less_and_changes_nothing_else(
    candidates: list[Candidate], least: float
) -> None:
    every = ranking(candidates)

    assert ranking(candidates, floors=Floors(score=least)) == [each for each in every if each.score >= least]


@GENERATED
@given(candidates=ANYTHING, least=st.floats(-1, 1))
def test_a_least_similarity_leaves_out_what_is_embedded_and_less_similar(
    candidates: list[Candidate], least: float
) -> None:
    passing = {
        each.id.int
        for each in candidates
        if each.similarity is None or math.isnan(each.similarity) or each.similarity >= least
    }

    assert set(order(candidates, floors=Floors(similarity=least))) == passing


@GENERATED
@given(candidates=ANYTHING, query=st.sampled_from(QUERIES))
def test_ranking_twice_is_ranking_once_and_changes_nothing(candidates: list[Candidate], query: str) -> None:
    found = among(candidates)
    before = copy.deepcopy(found)
    asked = question(query, found)

    once = ranked(found, asked, ALL, BM25, 10)

    assert repr(ranked(found, asked, ALL, BM25, 10)) == repr(once)
    assert repr(found) == repr(before)


# The sum and the order.


def test_nothing_is_ranked_as_nothing() -> None:
    assert ranking([]) == []


WORST_BEST_MIDDLE: dict[str, list[dict[str, Any]]] = {
    "similarity": [{"closeness": -0.5}, {"closeness": 0.9}, {"closeness": 0.1}],
    "words": [{"ranks": (0.0,)}, {"ranks": (TWICE,)}, {"ranks": (ONCE,)}],
    "importance": [{"importance": None}, {"importance": 0.9}, {"importance": 0.5}],
    "recency": [{"created_at": NOW - 9 * DAY}, {"created_at": NOW}, {"created_at": NOW - 3 * DAY}],
}


@pytest.mark.parametrize("part", WORST_BEST_MIDDLE)
def test_a_weight_orders_by_its_part_alone_and_its_size_does_not_matter(part: str) -> None:
    candidates = [candidate(number, **fields) for number, fields in enumerate(WORST_BEST_MIDDLE[part])]

    found = ranking(candidates, only(**{part: 1.0}))

    assert [each.candidate.id.int for each in found] == [1, 2, 0]
    assert [each.score for each in found] == [getattr(each.parts, part) for each in found]
    assert scores(candidates, only(**{part: 50.0})) == pytest.approx(scores(candidates, only(**{part: 1.0})))


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

    assert scores(candidates, only(**{part: 1.0}), query=query) == {2: 1, 1: 0, 3: 0}
    assert set(scores(candidates, NOTHING, query=query).values()) == {0}


def test_a_score_is_the_weighted_mean_of_what_applies() -> None:
    weights = only(similarity=2.0, importance=1.0, recency=0.5, speaker=0.5, time=8.0)
    candidates = [
        candidate(1, name="Ida", closeness=0.5, importance=0.5, created_at=NOW - 30 * DAY),
        candidate(2, closeness=0.9),
    ]

    named = parts(candidates, weights, query="What did Ida say?")
    nobody = parts(candidates, weights)

    assert named[1] == pytest.approx(Parts(1.0 / 4, 0, 0.5 / 4, 0, 0.5 / 4, 0.25 / 4, 0, 0, 0))
    assert named[2] == pytest.approx(Parts(1.8 / 4, 0, 0, 0, 0, 0.5 / 4, 0, 0, 0))
    assert nobody[2] == pytest.approx(Parts(1.8 / 3.5, 0, 0, 0, 0, 0.5 / 3.5, 0, 0, 0))


def test_without_weights_the_newest_comes_first() -> None:
    candidates = [
        candidate(number, created_at=NOW - age * DAY, importance=age / 9, closeness=age / 9)
        for number, age in enumerate([4, 0, 9, 2])
    ]

    assert list(scores(candidates, NOTHING).items()) == [(1, 0.0), (3, 0.0), (0, 0.0), (2, 0.0)]


def test_of_two_as_good_the_newer_comes_first_and_then_the_one_with_the_later_id() -> None:
    older = candidate(9, created_at=NOW - timedelta(microseconds=1), importance=0.5)
    first, second = candidate(1, importance=0.5), candidate(2, importance=0.5)

    for candidates in ([older, first, second], [second, first, older], [first, older, second]):
        assert order(candidates, only(importance=1.0)) == [2, 1, 9]


@pytest.mark.parametrize("again", [0.0, 1.0])
@pytest.mark.parametrize(("top_k", "expected"), [(1, [40]), (3, [40, 39, 38]), (MAX_TOP_K, [*range(40, 0, -1)])])
def test_only_the_best_are_kept(top_k: int, expected: list[int], again: float) -> None:
    candidates = [candidate(number, importance=number / 40) for number in range(1, 41)]

    assert order(candidates, only(importance=1.0, diversity=again, newer=again), top_k) == expected


# What has nothing to do with the query.


@pytest.mark.parametrize("closeness", [0.0, -0.9])
def test_what_has_nothing_to_do_with_the_query_scores_0_however_important_it_is(closeness: float) -> None:
    other = candidate(1, closeness=closeness, importance=1.0, name="Ida")
    near = candidate(2, closeness=0.4, importance=0.1, created_at=NOW - 90 * DAY, conversation_id="conversation 1")

    found = scores([other, near], ALL, query="What did Ida say?")

    assert found[1] == 0
    assert found[2] > 0


def test_the_less_something_has_to_do_with_the_query_the_less_its_importance_counts() -> None:
    candidates = [candidate(number, closeness=number / 100, importance=1.0) for number in (0, 1, 2, 30, 60)]

    found = [parts(candidates, only(similarity=1.0, importance=1.0))[number].importance for number in (0, 1, 2, 30, 60)]

    assert found[0] == 0
    assert found[2] == pytest.approx(2 * found[1])
    assert found[2] < found[3] == found[4]


def test_where_no_content_is_weighed_the_rest_counts_in_full() -> None:
    assert scores([candidate(1, closeness=-0.9, importance=1.0)], only(importance=0.1)) == {1: 1.0}


def test_what_was_said_then_has_to_do_with_a_query_that_names_a_time() -> None:
    candidates = [candidate(number, importance=0.5, created_at=NOW - age * DAY) for number, age in ((1, 1), (2, 5))]

    found = parts(candidates, query="What did we plan yesterday?")

    assert found[1].importance > 0 == found[2].importance


# What is missing.


@pytest.mark.parametrize("weights", [ALL, NOTHING, only(similarity=1), only(words=1), only(session=1)])
@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"closeness": NAN},
        {"ranks": ()},
        {"ranks": (ONCE,), "term_count": 0},
        {"name": "", "content": ""},
        {"created_at": datetime.min.replace(tzinfo=UTC)},
        {"created_at": datetime.max.replace(tzinfo=UTC)},
    ],
)
def test_no_score_is_missing_or_infinite(fields: dict[str, Any], weights: Weights) -> None:
    (found,) = ranking([candidate(1, **fields)], weights)

    assert math.isfinite(found.score)
    assert type(found.score) is float
    assert all(type(part) is float for part in found.parts)


def test_nothing_need_be_known_of_the_other_messages() -> None:
    found = Candidates([candidate(1, ranks=())])

    assert [each.parts.words for each in ranked(found, question("?", found), ALL, BM25, 5)] == [0]


def test_a_query_without_terms_is_ranked_by_the_rest() -> None:
    candidates = [candidate(number, ranks=(), closeness=closeness) for number, closeness in enumerate([0.1, 0.9, 0.5])]

    assert order(candidates) == [1, 2, 0]
    assert {each.words for each in parts(candidates).values()} == {0.0}


def test_an_unscored_message_counts_as_unimportant() -> None:
    candidates = [candidate(1, importance=None), candidate(2, importance=0.1)]

    assert parts(candidates, only(importance=1.0))[1].importance == 0
