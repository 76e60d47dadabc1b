"""Candidates, and what becomes of them when they are ranked."""

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from deployments.schemas import Role
from deployments.search.bm25 import Bm25
from deployments.search.ranking import (
    Parts,
    Question,
    Ranked,
    rank,
)
from deployments.search_schemas import MAX_TOP_K, Weights
from deployments.storage.candidates import Candidate, Candidates, Corpus

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
BM25 = Bm25(k1=1.2, b=0.75, neighbor_share=0.5)
# What Postgres' ts_rank says of a term that is there once, twice and three times.
ONCE, TWICE, THRICE = 0.6079271, 0.7599089, 0.8274563
NOTHING = Weights(**dict.fromkeys(Weights.model_fields, 0.0))
ALL = Weights(recency=0.2)
NAN = float("nan")


def candidate(number: int, **fields: Any) -> Candidate:
    """A message of its own conversation and words, in which none of the query's are."""
    if "closeness" in fields:
        fields.setdefault("similarity", fields["closeness"])
    blank = {
        "conversation_id": f"conversation {number}",
        "role": "user",
        "name": None,
        "content": f"content{number}",
        "metadata": "{}",
        "created_at": NOW,
        "importance": None,
        "similarity": None,
        "closeness": None,
        "ranks": (0.0,),
        "term_count": 10,
        "previous": None,
        "next": None,
    }
    return Candidate(id=UUID(int=number), **{**blank, **fields})


def conversation(*each: dict[str, Any]) -> list[Candidate]:
    """Turns of one conversation, a minute apart, each with those beside it."""
    return [
        candidate(
            number,
            conversation_id="one",
            created_at=NOW + timedelta(minutes=number - len(each)),
            previous=UUID(int=number - 1) if number > 1 else None,
            next=UUID(int=number + 1) if number < len(each) else None,
        )._replace(**fields)
        for number, fields in enumerate(each, start=1)
    ]


def among(candidates: Sequence[Candidate], holders: Sequence[int] | None = None) -> Candidates:
    """The candidates, among a hundred messages of ten terms each."""
    terms = len(candidates[0].ranks) if candidates else 0
    held = [3] * terms if holders is None else list(holders)
    return Candidates(list(candidates), Corpus(100.0, 1_000.0, 100, 100, held))


def only(**weights: float) -> Weights:
    return NOTHING.model_copy(update=weights)


def ranking(
    candidates: Sequence[Candidate],
    weights: Weights = ALL,
    top_k: int = MAX_TOP_K,
    query: str = "Which one?",
    bm25: Bm25 = BM25,
) -> list[Ranked]:
    return rank(among(candidates), Question(query, NOW), weights, bm25, top_k)


def order(*arguments: Any, **options: Any) -> list[int]:
    return [each.candidate.id.int for each in ranking(*arguments, **options)]


def parts(*arguments: Any, **options: Any) -> dict[int, Parts]:
    return {each.candidate.id.int: each.parts for each in ranking(*arguments, **options)}


def anything(seed: int, count: int = 30) -> list[Candidate]:
    """Candidates of all kinds: some not embedded, not scored, at the mean, repeated, beside each other."""
    rng = random.Random(seed)
    return [
        candidate(
            number,
            conversation_id=rng.choice(["a", "b", "c"]),
            role=rng.choice(list(Role)),
            name=rng.choice([None, "Ida", "Bo Lund"]),
            content=rng.choice(["I like tea", "On Monday", "we moved last year", f"content{number}", "!"]),
            created_at=NOW - rng.choice([0, 0, 1, 7, 300, -3]) * DAY,
            importance=rng.choice([None, 0.0, 0.3, 1.0]),
            closeness=rng.choice([None, NAN, -0.7, 0.0, 0.2, 0.9]),
            ranks=(rng.choice([0.0, ONCE, TWICE]), rng.choice([0.0, 0.0, THRICE])),
            term_count=rng.randint(0, 40),
            previous=UUID(int=number - 1) if rng.random() < 0.5 else None,
            next=UUID(int=number + 1) if rng.random() < 0.5 else None,
        )
        for number in range(1, count + 1)
    ]
