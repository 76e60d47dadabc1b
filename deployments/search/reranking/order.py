"""Reorders hits by their relevance. Pure functions."""

from collections.abc import Sequence
from uuid import UUID

from deployments.schemas.search import SearchHit
from deployments.search.ranking.versions import Saying, saying

PART = "rerank"


def reorder(hits: Sequence[SearchHit], relevances: Sequence[float], diversity: float, top_k: int) -> list[SearchHit]:
    """Return the `top_k` most relevant hits, best first; ties keep their previous order.

    `relevances`: one for each hit, 0 to 1. A hit's `score` becomes its relevance. As in the ranking, `diversity` lowers
    the score of a hit with the same text as a newer one: a reranker gives both about the same relevance.
    Raises `ValueError` unless there is one relevance for each hit.
    """
    newest = _newest(hits)
    repeated = 1.0 - min(diversity, 1.0)
    scored = [
        rescored(hit, relevance if hit.message_id in newest else relevance * repeated)
        for relevance, hit in zip(relevances, hits, strict=True)
    ]
    return sorted(scored, key=lambda hit: hit.score, reverse=True)[:top_k]


def _newest(hits: Sequence[SearchHit]) -> set[UUID]:
    """Return the ids of the newest hit of each speaker and text."""
    newest: dict[Saying, SearchHit] = {}
    for hit in sorted(hits, key=lambda hit: (hit.created_at, hit.message_id)):
        newest[saying(hit.name or hit.role, hit.content)] = hit
    return {hit.message_id for hit in newest.values()}


def rescored(hit: SearchHit, score: float) -> SearchHit:
    """Return the hit with a new score. The difference goes into the part `rerank`, so that the parts still add up."""
    before = 0.0 if hit.explanation is None else hit.explanation.get(PART, 0.0)
    explained = None if hit.explanation is None else {**hit.explanation, PART: before + score - hit.score}
    return hit.model_copy(update={"score": score, "explanation": explained})
