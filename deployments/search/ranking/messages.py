"""What scoring reads of messages, as arrays: of candidates that SQL found, or of an index in memory."""

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
    """Who says something: a role, and a name where there is one."""

    role: str
    name: str | None


@dataclass(frozen=True)
class Messages:
    """Messages to be scored. Each array has the shape (messages,).

    closeness: cosine to the query with the tenant's mean taken off both, NaN while there is no embedding. importances:
    0 to 1, NaN until scored. lengths: in terms. created: microseconds since 1970. conversations: a number for each.
    who: places in `speakers`. previous, following: the place of the turn before and after in the same conversation, -1
    where there is none. telling: whether it says when something was.
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
    """Which messages hold the terms of a query. A term's number is its place in `terms`.

    weights: of each in the query, 0 to 1, shape (terms,). holders: how many of the tenant's messages hold each, shape
    (terms,). messages, term_count: of the tenant in all.
    """

    terms: Sequence[str]
    weights: Floats
    postings: Postings
    holders: Floats
    messages: float
    term_count: float

    @cached_property
    def in_full(self) -> npt.NDArray[np.bool_]:
        """Return which terms have all of their weight, as stop words have not, shape (terms,)."""
        full: npt.NDArray[np.bool_] = self.weights == 1.0
        return full

    @cached_property
    def present(self) -> npt.NDArray[np.bool_]:
        """Return which terms are held by any of the messages, shape (terms,)."""
        return np.bincount(self.postings.terms, minlength=len(self.terms)) > 0


def says_when(content: str) -> bool:
    """Return whether a message says when something was or will be.

    A long one nearly always does so somewhere, so only its beginning is looked at.
    """
    return tells_when(content[:BEGINNING_CHARACTERS])


def messages_of(candidates: Sequence[Candidate]) -> Messages:
    """Return the arrays of candidates, in their order."""
    places: dict[UUID | None, int] = {candidate.id: place for place, candidate in enumerate(candidates)}
    previous, following = _turns(candidates, places)
    # A fact is a conversation of its own.
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
    """Return what the candidates hold of the query's terms, read back from their ts_ranks."""
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
    """Return the places of the turns before and after each.

    Either of two turns may name the other: a turn that only came along with a hit names none.
    """
    previous, following = (np.full(len(candidates), -1, dtype=np.intp) for _ in range(2))
    for place, candidate in enumerate(candidates):
        before, after = places.get(candidate.previous, -1), places.get(candidate.next, -1)
        if before >= 0:
            previous[place], following[before] = before, place
        if after >= 0:
            following[place], previous[after] = after, place
    return previous, following
