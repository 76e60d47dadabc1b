"""Candidates, and what becomes of them when they are ranked."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from hypothesis import strategies as st

from deployments.analysis.query import AnalyzedQuery
from deployments.analysis.times import time_reference
from deployments.schemas.candidates import Candidate, Candidates, Corpus
from deployments.schemas.messages import Role
from deployments.schemas.search import MAX_TOP_K, Weights
from deployments.search.ranking.bm25 import Bm25
from deployments.search.ranking.ordering import Floors, Ranked, best_candidates, ordered, versions_of
from deployments.search.ranking.parts import Parts, Question

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
BM25 = Bm25(k1=1.2, b=0.75, neighbor_share=0.5)
# What Postgres' ts_rank says of a term that is there once, twice and three times.
ONCE, TWICE, THRICE = 0.6079271, 0.7599089, 0.8274563
NOTHING = Weights(**dict.fromkeys(Weights.model_fields, 0.0))
ALL = Weights(recency=0.2)
NAN = float("nan")
NO_FLOORS = Floors()
TERMS = ("amber", "birch", "cedar", "delta", "ember")
QUERIES = ("Which one?", "What did I say last week?", "When did Ida and Bo move?", "What did you recommend yesterday?")


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
    terms = TERMS[: len(candidates[0].ranks)] if candidates else ()
    held = [3] * len(terms) if holders is None else list(holders)
    return Candidates(list(candidates), Corpus(100.0, 1_000.0, 100, 100, terms, held))


def question(text: str, found: Candidates, **fields: Any) -> Question:
    """A question whose words are the terms of the corpus, unless told otherwise, each with all of its weight."""
    terms = fields.pop("terms", found.corpus.terms)
    time = time_reference(text, NOW)
    asked = {
        "weights": fields.pop("term_weights", (1.0,) * len(terms)),
        "words": tuple((term,) for term in terms),
        "span": time and time.span,
        "said_then": time is not None and time.relative,
        **fields,
    }
    return Question(text, NOW, AnalyzedQuery(tuple(terms), **asked))


def only(**weights: float) -> Weights:
    return NOTHING.model_copy(update=weights)


def ranking(
    candidates: Sequence[Candidate],
    weights: Weights = ALL,
    top_k: int = MAX_TOP_K,
    query: str = "Which one?",
    bm25: Bm25 = BM25,
    floors: Floors = NO_FLOORS,
    holders: Sequence[int] | None = None,
    **fields: Any,
) -> list[Ranked]:
    found = among(candidates, holders)
    return ranked(found, question(query, found, **fields), weights, bm25, top_k, floors)


def ranked(
    found: Candidates, asked: Question, weights: Weights, bm25: Bm25, top_k: int, floors: Floors = NO_FLOORS
) -> list[Ranked]:
    """What the way by SQL answers of candidates whose contents are whole."""
    best, hits = best_candidates(found, asked, weights, bm25, floors.similarity)
    return ordered(best, hits, versions_of(best, hits, top_k), weights, top_k, floors)


def order(*arguments: Any, **options: Any) -> list[int]:
    return [each.candidate.id.int for each in ranking(*arguments, **options)]


def parts(*arguments: Any, **options: Any) -> dict[int, Parts]:
    return {each.candidate.id.int: each.parts for each in ranking(*arguments, **options)}


def scores(*arguments: Any, **options: Any) -> dict[int, float]:
    return {each.candidate.id.int: each.score for each in ranking(*arguments, **options)}


# Candidates of all kinds: some not embedded, not scored, at the mean, repeated, beside each other.
_FIELDS = st.fixed_dictionaries(
    {
        "conversation_id": st.sampled_from("abc"),
        "role": st.sampled_from(list(Role)),
        "name": st.sampled_from([None, "Ida", "Bo Lund"]),
        "content": st.sampled_from(["I like tea", "I like oats", "On Monday", "we moved last year", "!", ""]),
        "created_at": st.sampled_from([NOW - days * DAY for days in (0, 1, 7, 300, -3)]),
        "importance": st.none() | st.floats(0, 1),
        "closeness": st.sampled_from([None, NAN]) | st.floats(-1, 1),
        "ranks": st.tuples(st.sampled_from([0.0, ONCE, TWICE]), st.sampled_from([0.0, THRICE])),
        "term_count": st.integers(0, 40),
        "previous": st.booleans(),
        "next": st.booleans(),
    }
)


def _numbered(number: int, fields: dict[str, Any]) -> Candidate:
    before = UUID(int=number - 1) if fields["previous"] else None
    after = UUID(int=number + 1) if fields["next"] else None
    return candidate(number, **{**fields, "previous": before, "next": after})


ANYTHING = st.lists(_FIELDS, max_size=12).map(
    lambda each: [_numbered(number, fields) for number, fields in enumerate(each, start=1)]
)
WEIGHTS = st.builds(
    Weights, **{name: st.sampled_from([0.0, 0.5, 1.0]) | st.floats(0, 100) for name in Weights.model_fields}
)
