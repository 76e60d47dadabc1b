"""What each part of a score is."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import numpy as np
import pytest

from deployments.epoch import micros
from deployments.schemas.candidates import BEGINNING_CHARACTERS
from deployments.search.ranking.bm25 import Bm25
from deployments.search.ranking.parts import recency
from tests.unit.search.ranked import (
    DAY,
    NAN,
    NOW,
    ONCE,
    TERMS,
    THRICE,
    TWICE,
    candidate,
    conversation,
    only,
    order,
    parts,
    scores,
)

# Similarity.


@pytest.mark.parametrize(("closeness", "similarity"), [(1.0, 1.0), (0.3, 0.3), (0.0, 0.0), (-0.4, 0.0)])
def test_similarity_is_the_closeness_itself(closeness: float, similarity: float) -> None:
    assert parts([candidate(1, closeness=closeness)], only(similarity=3.0))[1].similarity == similarity


@pytest.mark.parametrize("missing", [None, NAN])
def test_what_has_no_closeness_counts_its_words_for_both(missing: float | None) -> None:
    candidates = [
        candidate(1, closeness=missing, ranks=(TWICE,)),
        candidate(2, closeness=missing),
        candidate(3, closeness=0.5, ranks=(TWICE,)),
    ]

    found = parts(candidates, only(similarity=2.0, words=1.0))

    assert found[1].similarity == pytest.approx(2 * found[1].words)
    assert found[1].words == found[3].words > 0
    assert found[2][:2] == (0, 0)


# Words, and the turns beside.


def test_the_more_often_a_word_is_there_the_more_it_counts_up_to_all() -> None:
    candidates = [candidate(number, ranks=(rank,)) for number, rank in enumerate([0.0, ONCE, TWICE, THRICE])]

    found = scores(candidates, only(words=2.0))

    assert 0 == found[0] < found[1] < found[2] < found[3] < 1


def test_the_more_of_the_words_are_there_the_nearer_it_is_to_all() -> None:
    held = [[ONCE] * number + [0.0] * (5 - number) for number in range(6)]
    candidates = [candidate(number, ranks=tuple(ranks)) for number, ranks in enumerate(held)]

    found = scores(candidates, only(words=1.0))

    assert order(candidates, only(words=1.0)) == [5, 4, 3, 2, 1, 0]
    assert found[1] < 0.5 < found[5] < 1


def test_a_word_that_no_message_holds_is_missed_all_the_same() -> None:
    one = [candidate(1, ranks=(ONCE,))]

    known = scores(one, only(words=1.0), words=((TERMS[0],),))
    unknown = scores([candidate(1, ranks=(ONCE, 0.0))], only(words=1.0), holders=[3, 0])

    assert 0 < unknown[1] < known[1]


def test_a_form_of_a_word_is_missed_by_nobody_and_counts_where_it_is_held() -> None:
    """Of "Foo.js" are asked "foo" and "js", and found the better where it is there as one."""
    terms = {"words": ((TERMS[0],), (TERMS[1],))}
    without = scores([candidate(1, ranks=(ONCE, ONCE))], only(words=1.0), **terms)
    candidates = [candidate(1, ranks=(ONCE, ONCE, 0.0)), candidate(2, ranks=(ONCE, ONCE, ONCE))]

    alone = scores(candidates[:1], only(words=1.0), **terms)
    together = scores(candidates, only(words=1.0), **terms)

    assert alone == pytest.approx(without)
    assert together[1] < together[2]


def test_any_of_a_words_terms_finds_it() -> None:
    candidates = [candidate(1, ranks=(ONCE, 0.0)), candidate(2, ranks=(0.0, ONCE)), candidate(3, ranks=(0.0, 0.0))]

    found = scores(candidates, only(words=1.0), words=(TERMS[:2],))

    assert found[1] == pytest.approx(found[2])
    assert found[1] > found[3] == 0


def test_a_word_weighs_as_much_as_its_rarest_term() -> None:
    alone = scores([candidate(1, ranks=(ONCE,))], only(words=1.0), holders=[3])

    both = scores([candidate(1, ranks=(ONCE, 0.0))], only(words=1.0), holders=[3, 50], words=(TERMS[:2],))

    assert both == pytest.approx(alone)


def test_a_stop_word_counts_less() -> None:
    candidates = [candidate(1, ranks=(ONCE, 0.0)), candidate(2, ranks=(0.0, ONCE))]

    found = scores(candidates, only(words=1.0), term_weights=(1.0, 0.2))

    assert found[1] > found[2] > 0


def test_a_rare_word_counts_more() -> None:
    candidates = [candidate(1, ranks=(ONCE, 0.0)), candidate(2, ranks=(0.0, ONCE))]

    assert order(candidates, only(words=1.0), holders=[50, 2]) == [2, 1]
    assert order(candidates, only(words=1.0), holders=[2, 50]) == [1, 2]


def test_a_short_message_says_a_word_more_than_a_long_one() -> None:
    candidates = [candidate(1, ranks=(ONCE,), term_count=5), candidate(2, ranks=(ONCE,), term_count=50)]

    assert order(candidates, only(words=1.0)) == [1, 2]


def test_a_message_of_average_length_is_not_held_back_for_it() -> None:
    average = [candidate(1, ranks=(ONCE,), term_count=10)]

    without_length = scores(average, only(words=1.0), bm25=Bm25(k1=1.2, b=0.0, neighbor_share=0.0))

    assert scores(average, only(words=1.0)) == pytest.approx(without_length)


def test_a_turn_is_found_by_the_words_of_the_one_beside_it() -> None:
    nothing, both = {"ranks": (0.0, 0.0)}, {"ranks": (ONCE, ONCE)}

    found = parts(conversation(nothing, nothing, both, nothing, nothing), only(words=1.0))

    assert 0 < found[2].words < found[3].words
    assert found[4].words == pytest.approx(found[2].words)
    assert found[1].words == found[5].words == 0


@pytest.mark.parametrize("held", [(ONCE,), (ONCE, ONCE)], ids=["alone", "with a stop word"])
def test_a_single_word_is_not_lent(held: tuple[float, ...]) -> None:
    nothing = {"ranks": (0.0,) * len(held)}
    turns = conversation(nothing, {"ranks": held}, nothing)

    found = parts(turns, only(words=1.0), term_weights=(1.0, 0.2)[: len(held)])

    assert found[2].words > 0 == found[1].words == found[3].words


def test_without_a_neighbors_share_a_turn_has_its_own_words_alone() -> None:
    turns = conversation({"ranks": (0.0, 0.0)}, {"ranks": (ONCE, ONCE)}, {"ranks": (0.0, 0.0)})

    found = parts(turns, only(words=1.0), bm25=Bm25(1.2, 0.75, 0.0))

    assert found[2].words > 0 == found[1].words == found[3].words


def test_two_turns_are_beside_each_other_once_whichever_says_so() -> None:
    first, second = conversation({"ranks": (ONCE, ONCE)}, {"ranks": (0.0, 0.0)})
    third = candidate(3, ranks=(ONCE, ONCE), conversation_id="one")
    both = [first, second, third]
    forward = [first, second._replace(previous=None), third]
    backward = [first._replace(next=None), second, third]
    neither = [first._replace(next=None), second._replace(previous=None), third]

    found = [parts(each, only(words=1.0)) for each in (both, forward, backward, neither)]

    assert found[0] == found[1] == found[2]
    assert found[0][2].words > 0 == found[3][2].words


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

    found = parts(candidates, only(importance=1.0, session=1.0))

    assert {number: each.session for number, each in found.items()} == pytest.approx({1: 0.4, 2: 0.4, 3: 0.2})
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

    assert {number for number, each in found.items() if each.speaker} == spoken_of
    assert {each.speaker for each in found.values()} <= {0.0, 1.0}


def test_what_was_said_then_has_the_times_part() -> None:
    start = datetime(2025, 12, 22, tzinfo=UTC)
    second = timedelta(seconds=1)
    times = [start - second, start, start + 7 * DAY - second, start + 7 * DAY, NOW]
    candidates = [candidate(number, created_at=when, content="on Monday") for number, when in enumerate(times)]

    found = parts(candidates, only(time=0.5), query="When did we meet last week?")

    assert [found[number].time for number in range(5)] == [0, 1, 1, 0, 0]


def test_a_time_that_is_named_by_its_date_counts_less() -> None:
    candidates = [candidate(1, closeness=0.5, created_at=NOW - 8 * DAY), candidate(2, closeness=0.5)]
    weights = only(similarity=1.0, time=1.0)

    spoken = parts(candidates, weights, query="What was it last week?")
    dated = parts(candidates, weights, query="What was it last week?", said_then=False)

    assert 0 == dated[2].time < dated[1].time < spoken[1].time


@pytest.mark.parametrize(("query", "tells"), [("When did we meet?", True), ("Where did we meet?", False)])
def test_what_tells_when_has_a_little_of_the_times_part_where_that_is_asked(query: str, tells: bool) -> None:
    candidates = [candidate(1, content="on Monday", closeness=0.5), candidate(2, content="in the park", closeness=0.5)]

    found = parts(candidates, only(similarity=1.0, time=1.0), query=query)

    assert (found[1].time > 0) == tells
    assert found[1].time < found[1].similarity
    assert found[2].time == 0


def test_a_long_message_tells_when_only_near_its_beginning() -> None:
    before = "x" * (BEGINNING_CHARACTERS - len(" on Monday"))
    candidates = [candidate(1, content=f"{before} on Monday"), candidate(2, content=f"{before}xxxx on Monday")]

    found = parts(candidates, only(time=1.0), query="When did we meet?")

    assert found[1].time > 0 == found[2].time


def since(created_at: datetime) -> float:
    (value,) = recency(np.array([micros(created_at)]), NOW).tolist()
    return float(value)


@pytest.mark.parametrize("days", [0, 1, 30, 60, 300])
def test_recency_halves_every_thirty_days(days: float) -> None:
    assert since(NOW - days * DAY) == pytest.approx(0.5 ** (days / 30))


@pytest.mark.parametrize("days", [-1e-6, -3_000])
def test_the_future_is_as_recent_as_now(days: float) -> None:
    assert since(NOW - days * DAY) == 1


def test_what_is_ages_old_is_still_a_little_recent_or_not_at_all() -> None:
    assert 0 <= since(datetime.min.replace(tzinfo=UTC)) < 1e-9
