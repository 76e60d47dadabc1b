"""The order of hits by their relevance."""

import random

import pytest

from deployments.search.reranking.order import reorder

from .hits import hit, numbers


def test_the_relevance_orders_the_hits_and_is_their_score() -> None:
    ordered = reorder([hit(1), hit(2), hit(3)], [0.2, 0.9, 0.5], diversity=1.0, top_k=10)

    assert [(each.message_id.int, each.score) for each in ordered] == [(2, 0.9), (3, 0.5), (1, 0.2)]


def test_ties_keep_the_order_before() -> None:
    hits = [hit(number) for number in range(1, 9)]

    assert numbers(reorder(hits, [0.5] * 8, diversity=1.0, top_k=10)) == list(range(1, 9))
    assert numbers(reorder(hits, [0.5, 0.7] * 4, diversity=0.0, top_k=10)) == [2, 4, 6, 8, 1, 3, 5, 7]


def test_what_repeats_a_better_hit_is_put_back() -> None:
    same = "We meet on Monday at nine in the small room"
    hits = [hit(1, same), hit(2, "Coffee"), hit(3, same.upper())]

    ordered = reorder(hits, [0.8, 0.1, 0.9], diversity=1.0, top_k=10)

    assert [(each.message_id.int, each.score) for each in ordered] == [(3, 0.9), (2, 0.1), (1, 0.0)]


def test_repetition_is_left_where_no_diversity_is_asked_for() -> None:
    hits = [hit(1, "the same"), hit(2, "Coffee"), hit(3, "the same")]

    assert numbers(reorder(hits, [0.8, 0.1, 0.9], diversity=0.0, top_k=10)) == [3, 1, 2]


def test_the_parts_of_a_score_still_add_up_to_it() -> None:
    (ordered,) = reorder([hit(1, explain=True)], [0.3], diversity=1.0, top_k=10)

    assert ordered.explanation is not None
    assert set(ordered.explanation) == {"similarity", "words", "rerank"}
    assert sum(ordered.explanation.values()) == pytest.approx(ordered.score) == pytest.approx(0.3)


def test_nothing_is_explained_unasked() -> None:
    assert reorder([hit(1)], [0.3], diversity=1.0, top_k=10)[0].explanation is None


@pytest.mark.parametrize("relevances", [[], [0.1], [0.1, 0.2, 0.3]])
def test_a_relevance_for_each_hit_is_needed(relevances: list[float]) -> None:
    with pytest.raises(ValueError, match="zip"):
        reorder([hit(1), hit(2)], relevances, diversity=1.0, top_k=10)


@pytest.mark.parametrize("seed", range(20))
def test_any_order_has_each_hit_once_by_a_score_within_bounds(seed: int) -> None:
    rng = random.Random(seed)
    hits = [hit(number, rng.choice(["tea", "rain", None])) for number in range(1, 40)]

    relevances, diversity = [rng.choice([rng.random(), 0.5]) for _ in hits], rng.choice([0.0, 0.3, 1.0, 100.0])

    ordered = reorder(hits, relevances, diversity, top_k=len(hits))

    scores = [each.score for each in ordered]
    assert scores == sorted(scores, reverse=True)
    assert all(0.0 <= score <= 1.0 for score in scores)
    assert sorted(numbers(ordered)) == list(range(1, 40))
    for top_k in (1, 5, 20):
        assert reorder(hits, relevances, diversity, top_k) == ordered[:top_k]
