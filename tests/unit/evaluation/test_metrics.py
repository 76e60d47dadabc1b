"""Metrics against values worked out by hand."""

from math import log2

import pytest

from jobs.evaluation.metrics import METRICS, measure, ndcg, recall, reciprocal_rank

RANKED = ["a", "b", "c", "d", "e"]


@pytest.mark.parametrize(
    ("answers", "k", "expected"),
    [({"a"}, 1, 1.0), ({"b"}, 1, 0.0), ({"b", "x"}, 5, 0.5), ({"a", "e"}, 4, 0.5), ({"a", "b"}, 1, 0.5)],
)
def test_recall_is_the_share_of_the_answers(answers: set[str], k: int, expected: float) -> None:
    assert recall(RANKED, answers, k) == expected


@pytest.mark.parametrize(("answers", "expected"), [({"a"}, 1.0), ({"c", "e"}, 1 / 3), ({"x"}, 0.0)])
def test_the_reciprocal_rank_is_that_of_the_first_answer(answers: set[str], expected: float) -> None:
    assert reciprocal_rank(RANKED, answers) == expected


def test_beyond_the_twentieth_nothing_counts() -> None:
    ranked = [str(number) for number in range(30)]

    assert reciprocal_rank(ranked, {"19"}) == 1 / 20
    assert reciprocal_rank(ranked, {"20"}) == 0


@pytest.mark.parametrize(
    ("answers", "k", "expected"),
    [
        ({"a"}, 10, 1.0),
        ({"b"}, 10, 1 / log2(3)),
        ({"a", "c"}, 10, (1 + 1 / log2(4)) / (1 + 1 / log2(3))),
        ({"c", "x"}, 10, (1 / log2(4)) / (1 + 1 / log2(3))),
        ({"a", "b", "c"}, 2, 1.0),
        ({"d"}, 3, 0.0),
    ],
)
def test_ndcg(answers: set[str], k: int, expected: float) -> None:
    assert ndcg(RANKED, answers, k) == pytest.approx(expected)


def test_an_id_that_comes_twice_counts_once() -> None:
    twice = ["a", "a", "b"]

    assert ndcg(twice, {"a"}, 10) == 1.0
    assert recall(twice, {"a", "b"}, 2) == 0.5


def test_nothing_found_is_0_and_everything_first_is_1() -> None:
    assert measure([], {"a"}) == [0.0] * len(METRICS)
    assert measure(["a"], {"a"}) == [1.0] * len(METRICS)


def test_the_metrics_are_those_that_are_documented() -> None:
    assert list(METRICS) == ["recall@1", "recall@5", "recall@10", "recall@20", "mrr", "ndcg@10"]
    assert measure(RANKED, {"b", "x"}) == pytest.approx([0, 0.5, 0.5, 0.5, 0.5, (1 / log2(3)) / (1 + 1 / log2(3))])
