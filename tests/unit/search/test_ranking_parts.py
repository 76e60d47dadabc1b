"""What each part of a score is, and what repetition takes off."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from deployments.search.bm25 import Bm25
from deployments.search.ranking import (
    TELLING_CHARACTERS,
    TELLS_WHEN,
    Question,
    rank,
)
from deployments.storage.candidates import Candidate
from tests.unit.search.ranked import (
    BM25,
    DAY,
    NOW,
    ONCE,
    THRICE,
    among,
    candidate,
    conversation,
    only,
    order,
    parts,
    ranking,
)

# Words, and the turns beside.


def test_words_are_in_proportion_to_the_best() -> None:
    without_length = Bm25(k1=1.2, b=0.0, neighbor_share=0.0)
    candidates = [candidate(1, ranks=(ONCE,)), candidate(2, ranks=(THRICE,)), candidate(3)]

    found = parts(candidates, only(words=2.0), bm25=without_length)

    assert found[2].words == 2
    assert found[1].words == pytest.approx(2 * (1 / 2.2) / (3 / 4.2))
    assert found[3].words == 0


def test_a_rare_word_counts_more() -> None:
    candidates = [candidate(1, ranks=(ONCE, 0.0)), candidate(2, ranks=(0.0, ONCE))]

    def best(holders: list[int]) -> int:
        found = rank(among(candidates, holders), Question("?", NOW), only(words=1.0), BM25, 1)
        return found[0].candidate.id.int

    assert best([50, 2]) == 2
    assert best([2, 50]) == 1


def test_a_short_message_says_a_word_more_than_a_long_one() -> None:
    assert order(
        [candidate(1, ranks=(ONCE,), term_count=5), candidate(2, ranks=(ONCE,), term_count=50)], only(words=1.0)
    ) == [1, 2]


def test_lengths_are_in_proportion_to_the_average_of_all_messages() -> None:
    candidates = [candidate(1, ranks=(ONCE,), term_count=10), candidate(2, ranks=(ONCE,), term_count=20)]

    found = parts(candidates, only(words=1.0), bm25=Bm25(k1=1.2, b=1.0, neighbor_share=0.0))

    assert found[2].words == pytest.approx((1 + 1.2) / (1 + 1.2 * 2))


def test_a_turn_is_found_by_the_words_of_the_one_beside_it() -> None:
    nothing, both = {"ranks": (0.0, 0.0)}, {"ranks": (ONCE, ONCE)}
    far, before, matching, after, other = conversation(nothing, nothing, both, nothing, nothing)

    found = parts([far, before, matching, after, other], only(words=1.0))

    assert found[3].words == 1
    assert 0 < found[2].words < 1
    assert found[4].words == pytest.approx(found[2].words)
    assert found[1].words == found[5].words == 0


def test_a_single_word_is_not_lent() -> None:
    turns = conversation({}, {"ranks": (ONCE,)}, {})

    assert {number: each.words for number, each in parts(turns, only(words=1.0)).items()} == {2: 1, 1: 0, 3: 0}


def test_without_a_neighbors_share_a_turn_has_its_own_words_alone() -> None:
    turns = conversation({"ranks": (0.0, 0.0)}, {"ranks": (ONCE, ONCE)}, {"ranks": (0.0, 0.0)})

    assert [each.words for each in parts(turns, only(words=1.0), bm25=Bm25(1.2, 0.75, 0.0)).values()] == [1, 0, 0]


def test_two_turns_are_beside_each_other_once_whichever_says_so() -> None:
    first, second = conversation({"ranks": (ONCE, ONCE)}, {"ranks": (0.0, 0.0)})
    third = candidate(3, ranks=(ONCE, ONCE), conversation_id="one")
    both = [first, second, third]
    forward = [first, second._replace(previous=None), third]
    backward = [first._replace(next=None), second, third]
    neither = [first._replace(next=None), second._replace(previous=None), third]

    scores = [parts(each, only(words=1.0)) for each in (both, forward, backward, neither)]

    assert scores[0] == scores[1] == scores[2]
    assert scores[0][2].words > 0
    assert scores[3][2].words == 0


def test_a_turn_beside_that_is_no_candidate_changes_nothing() -> None:
    alone = candidate(1, ranks=(ONCE,))

    assert parts([alone._replace(previous=UUID(int=7), next=UUID(int=8))]) == parts([alone])


# Conversations, speakers, times.


def test_a_message_gains_from_the_best_of_its_conversation() -> None:
    candidates = [
        candidate(1, conversation_id="a", importance=0.1),
        candidate(2, conversation_id="a", importance=0.8),
        candidate(3, conversation_id="b", importance=0.4),
    ]

    found = parts(candidates, only(importance=2.0, session=0.5))

    assert {number: each.session for number, each in found.items()} == pytest.approx({1: 0.8, 2: 0.8, 3: 0.4})
    assert order(candidates, only(importance=1.0)) == [2, 3, 1]
    assert order(candidates, only(importance=1.0, session=1.0)) == [2, 1, 3]


@pytest.mark.parametrize(
    ("query", "spoken_of"),
    [
        ("What did Ida say?", {1}),
        ("What did Ida and Bo say?", {1, 2}),
        ("What did I say?", {3}),
        ("What did you recommend?", {4}),
        ("What was it?", set()),
    ],
)
def test_who_is_asked_about_has_the_speakers_part(query: str, spoken_of: set[int]) -> None:
    candidates = [
        candidate(1, name="Ida Berg", role="assistant"),
        candidate(2, name="Bo"),
        candidate(3, role="user"),
        candidate(4, role="assistant"),
        candidate(5, role="tool"),
    ]

    found = parts(candidates, only(speaker=0.75), query=query)

    assert {number: each.speaker for number, each in found.items()} == {
        number: 0.75 * (number in spoken_of) for number in range(1, 6)
    }


def test_what_was_said_then_has_the_times_part() -> None:
    start = datetime(2025, 12, 22, tzinfo=UTC)
    second = timedelta(seconds=1)
    times = [start - second, start, start + 7 * DAY - second, start + 7 * DAY, NOW]
    candidates = [candidate(number, created_at=when, content="on Monday") for number, when in enumerate(times)]

    found = parts(candidates, only(time=0.5), query="When did we meet last week?")

    assert [found[number].time for number in range(5)] == [0, 0.5, 0.5, 0, 0]


@pytest.mark.parametrize(("query", "share"), [("When did we meet?", TELLS_WHEN), ("Where did we meet?", 0.0)])
def test_what_tells_when_has_a_share_of_the_times_part_where_that_is_asked(query: str, share: float) -> None:
    candidates = [candidate(1, content="on Monday"), candidate(2, content="in the park")]

    found = parts(candidates, only(time=2.0), query=query)

    assert (found[1].time, found[2].time) == (2 * share, 0)


def test_a_long_message_tells_when_only_near_its_beginning() -> None:
    before = "x" * (TELLING_CHARACTERS - len(" on Monday"))
    candidates = [candidate(1, content=f"{before} on Monday"), candidate(2, content=f"{before}xxxx on Monday")]

    found = parts(candidates, only(time=1.0), query="When did we meet?")

    assert (found[1].time, found[2].time) == (TELLS_WHEN, 0)


# Repetition.


def repeated(count: int, **fields: Any) -> list[Candidate]:
    """Better than anything else, and nearly the same."""
    return [
        candidate(
            100 + number,
            content=f"Order {number} of the blue lamp was shipped to the usual address and will come on Friday",
            importance=0.9 + number / 1_000,
            **fields,
        )
        for number in range(count)
    ]


def test_what_is_nearly_the_same_does_not_fill_the_hits() -> None:
    others = [candidate(number, importance=0.1 * number) for number in range(1, 5)]

    assert order([*repeated(10), *others], only(importance=1.0, diversity=1.0), 5) == [109, 4, 3, 2, 1]


def test_without_a_weight_for_diversity_it_does() -> None:
    others = [candidate(number, importance=0.1 * number) for number in range(1, 5)]

    found = ranking([*repeated(10), *others], only(importance=1.0), 5)

    assert [each.candidate.id.int for each in found] == [109, 108, 107, 106, 105]
    assert {each.parts.repetition for each in found} == {0.0}


def test_the_better_of_two_that_say_the_same_stays_where_it_is() -> None:
    candidates = [
        candidate(1, importance=0.5, content="We like tea"),
        candidate(2, importance=0.9, content="We like tea!"),
        candidate(3, importance=0.7),
    ]

    found = {each.candidate.id.int: each for each in ranking(candidates, only(importance=1.0, diversity=0.25))}

    assert list(found) == [2, 3, 1]
    assert [found[number].parts.repetition for number in (2, 3, 1)] == [0, 0, -0.25]
    assert found[1].score == 0.25


@pytest.mark.parametrize(("diversity", "place"), [(0.1, 1), (0.3, 2), (100.0, 3)])
def test_a_repetition_is_put_back_by_the_weight_and_no_further(diversity: float, place: int) -> None:
    importance = [(1, 1.0), (2, 0.9), (3, 0.7), (4, 0.1)]
    candidates = [
        candidate(number, importance=value, content="the same" if number < 3 else f"other{number}")
        for number, value in importance
    ]

    assert order(candidates, only(importance=1.0, diversity=diversity)).index(2) == place


def test_what_is_nearly_the_same_is_put_back_by_how_much_it_is() -> None:
    nearly = ["one two three four five", "one two three four"]
    candidates = [candidate(number, importance=1 - number / 10, content=nearly[number]) for number in range(2)]

    found = parts(candidates, only(importance=1.0, diversity=2.0))

    assert found[1].repetition == pytest.approx(-1.6)


@pytest.mark.parametrize("count", [2, 14, 200])
def test_however_many_say_the_same_the_others_come_before_their_second(count: int) -> None:
    others = [candidate(number, importance=0.1 * number) for number in (1, 2, 3)]

    found = order([*repeated(count), *others], only(importance=1.0, diversity=2.0), 5)

    assert found[0] >= 100
    assert found[1:4] == [3, 2, 1]
    assert found[4] >= 100
