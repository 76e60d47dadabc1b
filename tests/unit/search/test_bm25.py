"""BM25, against one written with loops and dictionaries from lists of words."""

import math
import random
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest

from deployments.search.ranking.bm25 import Bm25, Floats, Places, Postings, frequencies, rarities

MOST = 255


def textbook(messages: Sequence[Sequence[str]], query: Sequence[str], k1: float, b: float) -> list[float]:
    average = sum(len(message) for message in messages) / len(messages)
    scores = []
    for message in messages:
        counted = Counter(message)
        score = 0.0
        for term in query:
            if counted[term]:
                holders = sum(term in other for other in messages)
                rarity = math.log(1 + (len(messages) - holders + 0.5) / (holders + 0.5))
                held_back = k1 * (1 - b + b * len(message) / average)
                score += rarity * counted[term] * (k1 + 1) / (counted[term] + held_back)
        scores.append(score)
    return scores


def over_windows(
    messages: Sequence[Sequence[str]], query: Sequence[str], k1: float, b: float, share: float
) -> list[float]:
    """All of the messages are one conversation, in their order; how rare a term is, is still known by message."""
    average = sum(len(message) for message in messages) / len(messages) * (1 + 2 * share)
    scores = []
    for place, message in enumerate(messages):
        window = {term: float(message.count(term)) for term in query}
        length = float(len(message))
        for beside in (place - 1, place + 1):
            if 0 <= beside < len(messages):
                length += share * len(messages[beside])
                for term in query:
                    window[term] += share * messages[beside].count(term)
        score = 0.0
        for term in query:
            if window[term]:
                holders = sum(term in other for other in messages)
                rarity = math.log(1 + (len(messages) - holders + 0.5) / (holders + 0.5))
                score += rarity * window[term] * (k1 + 1) / (window[term] + k1 * (1 - b + b * length / average))
        scores.append(score)
    return scores


def counts(messages: Sequence[Sequence[str]], query: Sequence[str]) -> Floats:
    return np.array([[message.count(term) for term in query] for message in messages], dtype=np.float64).reshape(
        len(messages), len(query)
    )


Turns = tuple[Places, Places]


def pairs(*places: tuple[int, int], messages: int) -> Turns:
    """The turn before and after each message, from which follows which."""
    previous, following = (np.full(messages, -1, dtype=np.intp) for _ in range(2))
    for before, after in places:
        previous[after], following[before] = before, after
    return previous, following


def in_a_row(messages: int) -> Turns:
    return pairs(*((place, place + 1) for place in range(messages - 1)), messages=messages)


def postings(held: Floats) -> Postings:
    terms, places = np.nonzero(held.T)
    return Postings(terms, places, held[places, terms])


def bm25_of(bm25: Bm25, messages: Sequence[Sequence[str]], query: Sequence[str], turns: Turns) -> list[float]:
    held = counts(messages, query)
    lengths = np.array([len(message) for message in messages], dtype=np.float64)
    rare = rarities((held > 0).sum(axis=0).astype(np.float64), len(messages))
    scores: list[float] = bm25.scores(postings(held), rare, lengths, lengths.mean(), *turns).tolist()
    return scores


def conversation(seed: int) -> tuple[list[list[str]], list[str]]:
    """Messages of 1 to 12 words, some of which are said often, and a query with words that are in none."""
    rng = random.Random(seed)
    messages = [rng.choices("aaaabbcdefgh", k=rng.randint(1, 12)) for _ in range(rng.randint(1, 20))]
    return messages, rng.sample("abcdefghxyz", k=rng.randint(1, 6))


CONVERSATIONS = [conversation(seed) for seed in range(20)]


def ts_rank(frequency: int) -> float:
    """Postgres' tsrank.c, calc_rank_or: a single term, all weights 1. Its variables are C's floats."""
    one = np.float32(1)
    most = one
    total = np.float32(0)
    for place in range(1, frequency + 1):
        total = np.float32(total + one / np.float32(place * place))
    return float(np.float32(float(np.float32(np.float32(most + total) - one)) / 1.64493406685)) if frequency else 0.0


@pytest.mark.parametrize(("k1", "b"), [(1.2, 0.75), (0.0, 0.75), (1.2, 0.0), (1.2, 1.0), (0.0, 0.0), (10.0, 1.0)])
def test_without_neighbors_it_is_the_textbooks(k1: float, b: float) -> None:
    for messages, query in CONVERSATIONS:
        found = bm25_of(Bm25(k1, b, 0.0), messages, query, in_a_row(len(messages)))
        assert found == pytest.approx(textbook(messages, query, k1, b))


@pytest.mark.parametrize("share", [0.25, 0.5, 1.0])
@pytest.mark.parametrize(("k1", "b"), [(1.2, 0.75), (0.0, 0.75), (1.2, 0.0), (1.2, 1.0)])
def test_with_neighbors_it_is_the_textbooks_over_windows(k1: float, b: float, share: float) -> None:
    for messages, query in CONVERSATIONS:
        found = bm25_of(Bm25(k1, b, share), messages, query, in_a_row(len(messages)))
        assert found == pytest.approx(over_windows(messages, query, k1, b, share))


def test_messages_that_are_not_beside_each_other_share_nothing() -> None:
    messages = [["a"], ["b"], ["b"]]

    assert bm25_of(Bm25(1.2, 0.75, 0.5), messages, ["a"], pairs((1, 2), messages=3))[1:] == [0, 0]


def test_a_neighbor_counts_for_its_share_and_once_on_each_side() -> None:
    bm25 = Bm25(1.2, 0.0, 0.5)
    held = np.array([[0.0], [1.0], [0.0]])

    before, itself, after = bm25.scores(postings(held), np.ones(1), np.ones(3), 1.0, *in_a_row(3)).tolist()

    assert before == after == pytest.approx(0.5 * 2.2 / (0.5 + 1.2))
    assert itself == pytest.approx(1.0)


def test_a_term_said_three_times_in_a_row_does_not_outweigh_three_terms() -> None:
    messages = [["a"], ["a"], ["a"], *[["x"]] * 5, ["a", "b", "c"], *[["x"]] * 5]
    adjacent = in_a_row(len(messages))

    scores = bm25_of(Bm25(1.2, 0.75, 0.5), messages, ["a", "b", "c"], adjacent)

    assert max(scores) == scores[8]


@pytest.mark.parametrize("share", [0.0, 0.5])
@pytest.mark.parametrize("k1", [0.0, 1.2])
@pytest.mark.parametrize("b", [0.0, 1.0])
def test_what_nobody_says_is_worth_nothing(b: float, k1: float, share: float) -> None:
    assert bm25_of(Bm25(k1, b, share), [["a"], ["b", "c"]], ["x"], in_a_row(2)) == [0, 0]


@pytest.mark.parametrize("messages", [1, 3])
def test_a_query_without_terms_finds_nothing(messages: int) -> None:
    adjacent = in_a_row(messages)

    assert bm25_of(Bm25(1.2, 0.75, 0.5), [["a"]] * messages, [], adjacent) == [0] * messages


def test_a_term_beside_one_that_nobody_holds_counts_as_ever() -> None:
    bm25 = Bm25(1.2, 0.75, 0.5)
    messages = [["a"], ["b", "c"], ["a", "a"]]
    alone = pairs(messages=3)

    assert bm25_of(bm25, messages, ["a", "x"], alone) == pytest.approx(bm25_of(bm25, messages, ["a"], alone))


def test_one_message_alone_is_of_average_length() -> None:
    assert bm25_of(Bm25(1.2, 0.75, 0.0), [["a", "b"]], ["a"], pairs(messages=1)) == pytest.approx(
        [math.log(1 + 0.5 / 1.5)]
    )


@pytest.mark.parametrize("b", [0.0, 0.75, 1.0])
@pytest.mark.parametrize("k1", [0.0, 1.2])
def test_where_no_length_is_counted_yet_none_is_held_back_for_it(k1: float, b: float) -> None:
    held = np.array([[2.0], [0.0]])

    scores = Bm25(k1, b, 0.5).scores(postings(held), np.ones(1), np.array([3.0, 9.0]), 0.0, *pairs(messages=2))

    assert scores.tolist() == pytest.approx([2 * (k1 + 1) / (2 + k1), 0])


def test_a_message_without_length_divides_nothing_by_zero() -> None:
    scores = Bm25(1.2, 1.0, 0.0).scores(postings(np.ones((1, 1))), np.ones(1), np.zeros(1), 5.0, *pairs(messages=1))

    assert scores.tolist() == pytest.approx([2.2])


def test_what_goes_in_stays_as_it_is() -> None:
    lengths, rare = np.array([1.0, 2.0]), np.ones(1)
    held = postings(np.array([[1.0], [0.0]]))

    Bm25(1.2, 0.75, 0.5).scores(held, rare, lengths, 1.5, *in_a_row(2))

    assert (held.places.tolist(), held.frequencies.tolist()) == ([0], [1])
    assert lengths.tolist() == [1, 2]
    assert rare.tolist() == [1]


def test_a_longer_message_scores_less_with_b_alone() -> None:
    messages = [["a"], ["a", "b", "c", "d"]]

    short, long = bm25_of(Bm25(1.2, 0.75, 0.0), messages, ["a"], pairs(messages=2))
    assert short > long
    short, long = bm25_of(Bm25(1.2, 0.0, 0.0), messages, ["a"], pairs(messages=2))
    assert short == long


@pytest.mark.parametrize("holders", [0, 1, 49, 50, 99, 100, 101, 10_000_000])
@pytest.mark.parametrize("messages", [1, 100])
def test_a_term_is_never_rarer_than_nothing(messages: int, holders: int) -> None:
    assert rarities(np.array([holders], dtype=np.float64), messages)[0] > 0


def test_the_more_hold_a_term_the_less_it_says() -> None:
    rare = rarities(np.arange(0.0, 101.0), 100)

    assert rare[0] == pytest.approx(math.log(1 + 100.5 / 0.5))
    assert (np.diff(rare) < 0).all()


def test_every_frequency_is_read_back_from_its_rank() -> None:
    ranks = np.array([[ts_rank(frequency) for frequency in range(MOST + 1)]])

    assert frequencies(ranks).tolist() == [list(range(MOST + 1))]


@pytest.mark.parametrize(
    ("rank", "frequency"),
    # Said by Postgres 18 itself, of so many times the same word; 256 is the most that two joined tsvectors hold.
    [(0.6079270839691162, 1), (0.7599088549613953, 2), (0.9976208806037903, 255), (0.9976301193237305, 255)],
)
def test_a_rank_of_postgres_is_understood(rank: float, frequency: int) -> None:
    assert frequencies(np.array([[rank]])).tolist() == [[frequency]]


@pytest.mark.parametrize("shape", [(0, 0), (0, 3), (3, 0), (1, 1), (4, 2)])
def test_frequencies_keep_the_shape_of_the_ranks(shape: tuple[int, int]) -> None:
    assert frequencies(np.zeros(shape)).shape == shape


@pytest.mark.parametrize(("words", "share"), [(0, 0.0), (1, 0.0), (2, 0.3), (3, 0.4), (6, 0.5)])
def test_the_more_is_asked_the_more_a_neighbor_lends(words: int, share: float) -> None:
    for_words = Bm25(1.2, 0.75, 0.6).for_words(words)

    assert (for_words.k1, for_words.b, for_words.neighbor_share) == pytest.approx((1.2, 0.75, share))
