"""Metrics of one ranking: pure functions of the ranked ids and of the relevant ids."""

import math
from collections.abc import Callable, Collection, Sequence

DEPTH = 20
CUTOFFS = (1, 5, 10, 20)
NDCG_CUTOFF = 10


def recall(ranked: Sequence[str], answers: Collection[str], k: int) -> float:
    """Return the share of the answers among the first `k`, 0 to 1. `answers` must not be empty."""
    return len(set(ranked[:k]) & set(answers)) / len(set(answers))


def reciprocal_rank(ranked: Sequence[str], answers: Collection[str]) -> float:
    """Return 1 / the rank of the first answer, counted from 1, or 0 if none is among the first 20.

    Its mean over questions is MRR: Voorhees, "The TREC-8 Question Answering Track Report" (1999).
    """
    return next((1 / rank for rank, each in enumerate(ranked[:DEPTH], start=1) if each in answers), 0.0)


def ndcg(ranked: Sequence[str], answers: Collection[str], k: int) -> float:
    """Return the normalized discounted cumulative gain of the first `k`, 0 to 1; each answer has gain 1.

    Järvelin & Kekäläinen, "Cumulated gain-based evaluation of IR techniques" (2002), with the discount 1 / log2(rank +
    1). An id that occurs twice gains once. `answers` must not be empty.
    """
    first_places = {each: rank for rank, each in reversed(list(enumerate(ranked[:k], start=1))) if each in answers}
    ideal = sum(_discount(rank) for rank in range(1, min(k, len(set(answers))) + 1))
    return sum(_discount(rank) for rank in first_places.values()) / ideal


def _discount(rank: int) -> float:
    return 1 / math.log2(rank + 1)


def _recall_at(k: int) -> Callable[[Sequence[str], Collection[str]], float]:
    return lambda ranked, answers: recall(ranked, answers, k)


METRICS: dict[str, Callable[[Sequence[str], Collection[str]], float]] = {
    **{f"recall@{k}": _recall_at(k) for k in CUTOFFS},
    "mrr": reciprocal_rank,
    f"ndcg@{NDCG_CUTOFF}": lambda ranked, answers: ndcg(ranked, answers, NDCG_CUTOFF),
}


def measure(ranked: Sequence[str], answers: Collection[str]) -> list[float]:
    """Return every metric of one question, in the order of `METRICS`."""
    return [metric(ranked, answers) for metric in METRICS.values()]
