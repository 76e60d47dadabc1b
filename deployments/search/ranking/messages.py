"""The arrays that scoring reads, made of SQL candidates or of an in-memory index."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, TypeAlias
from uuid import UUID

import numpy as np
import numpy.typing as npt

from deployments.analysis.query import AnalyzedQuery
from deployments.analysis.times import tells_when
from deployments.epoch import micros
from deployments.schemas.candidates import BEGINNING_CHARACTERS, Candidate, Candidates, Corpus
from deployments.search.ranking.bm25 import Floats, Places, Postings, frequencies

Micros: TypeAlias = npt.NDArray[np.int64]


class Speaker(NamedTuple):
    """The speaker of a message: a role, and a name or None."""

    role: str
    name: str | None


@dataclass(frozen=True)
class Messages:
    """Messages to be scored. Each array has the shape (messages,).

    closeness: cosine to the query after subtracting the tenant's mean from both, NaN without an embedding. importances:
    0 to 1, NaN until scored. lengths: in terms. created: microseconds since 1970. conversations: conversation numbers.
    who: indices into `speakers`. previous, following: index of the turn before and after in the same conversation, or
    -1. telling: whether the message mentions a time (`says_when`).
    """

    closeness: Floats
    importances: Floats
    lengths: Floats
    created: Micros
    conversations: Places
    who: Places
    speakers: Sequence[Speaker]
    previous: Places
    following: Places
    telling: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.created)


@dataclass(frozen=True)
class QueryTermsHeld:
    """Which messages hold the terms of a query. A term's number is its index in `terms`.

    weights: of each term in the query, 0 to 1, shape (terms,). holders: document frequency of each term in the tenant,
    shape (terms,). messages, term_count: totals of the tenant.
    """

    terms: Sequence[str]
    weights: Floats
    postings: Postings
    holders: Floats
    messages: float
    term_count: float

    @cached_property
    def in_full(self) -> npt.NDArray[np.bool_]:
        """Return which terms have the full weight 1 (stop words have less), shape (terms,)."""
        full: npt.NDArray[np.bool_] = self.weights == 1.0
        return full

    @cached_property
    def present(self) -> npt.NDArray[np.bool_]:
        """Return which terms occur in at least one message, shape (terms,)."""
        return np.bincount(self.postings.terms, minlength=len(self.terms)) > 0


def says_when(content: str) -> bool:
    """Return whether a message mentions a time.

    Only its beginning is checked, because a long message nearly always mentions one somewhere.
    """
    return tells_when(content[:BEGINNING_CHARACTERS])


def messages_of(candidates: Sequence[Candidate]) -> Messages:
    """Return the arrays of candidates, in their order."""
    places: dict[UUID | None, int] = {candidate.id: place for place, candidate in enumerate(candidates)}
    previous, following = _turns(candidates, places)
    # Each fact counts as its own conversation.
    conversations: dict[str | UUID, int] = {}
    spoken = [c.conversation_id if c.fact is None else c.id for c in candidates]
    speakers: dict[Speaker, int] = {}
    return Messages(
        closeness=np.array([np.nan if c.closeness is None else c.closeness for c in candidates], dtype=np.float64),
        importances=np.array([np.nan if c.importance is None else c.importance for c in candidates], dtype=np.float64),
        lengths=np.array([c.term_count for c in candidates], dtype=np.float64),
        created=np.array([micros(c.created_at) for c in candidates], dtype=np.int64),
        conversations=_numbers([conversations.setdefault(each, len(conversations)) for each in spoken]),
        who=_numbers([speakers.setdefault(Speaker(c.role, c.name), len(speakers)) for c in candidates]),
        speakers=list(speakers),
        previous=previous,
        following=following,
        telling=np.array([says_when(c.content) for c in candidates], dtype=np.bool_),
    )


def query_weights(terms: Sequence[str], query: AnalyzedQuery) -> Floats:
    """Return the weight of each term in the query, shape (terms,)."""
    return np.array([query.weight_of[term] for term in terms], dtype=np.float64)


def terms_of(found: Candidates, query: AnalyzedQuery) -> QueryTermsHeld:
    """Return which query terms the candidates hold. Frequencies are computed back from their ts_ranks."""
    corpus: Corpus = found.corpus
    ranks = np.array([c.ranks for c in found.found], dtype=np.float64).reshape(len(found.found), len(corpus.terms))
    held = frequencies(ranks)
    terms, places = np.nonzero(held.T)
    return QueryTermsHeld(
        terms=corpus.terms,
        weights=query_weights(corpus.terms, query),
        postings=Postings(terms, places, held[places, terms]),
        holders=np.array(corpus.holders, dtype=np.float64),
        messages=corpus.messages,
        term_count=corpus.term_count,
    )


def _numbers(values: Sequence[int]) -> Places:
    return np.array(values, dtype=np.intp)


def _turns(candidates: Sequence[Candidate], places: Mapping[UUID | None, int]) -> tuple[Places, Places]:
    """Return the indices of the turns before and after each candidate, -1 for none, each of shape (candidates,).

    A link counts if either turn names the other: a turn that was only read as a neighbor of a hit names none.
    """
    previous, following = (np.full(len(candidates), -1, dtype=np.intp) for _ in range(2))
    for place, candidate in enumerate(candidates):
        before, after = places.get(candidate.previous, -1), places.get(candidate.next, -1)
        if before >= 0:
            previous[place], following[before] = before, place
        if after >= 0:
            following[place], previous[after] = after, place
    return previous, following
