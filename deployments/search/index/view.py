"""Selects the messages of a tenant's index that pass a search's filters, as arrays."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import compress
from math import isnan
from typing import NamedTuple
from uuid import UUID

import numpy as np
import numpy.typing as npt

from deployments.analysis.query import AnalyzedQuery
from deployments.epoch import from_micros
from deployments.schemas.candidates import MEAN_PRIOR, TERM_LIMIT
from deployments.schemas.search import SearchRequest
from deployments.schemas.vectors import Vector
from deployments.search.index.columns import NEVER
from deployments.search.index.filtering import passing
from deployments.search.index.holding import apart
from deployments.search.index.tenant_index import Owner, Slots, TenantIndex
from deployments.search.ranking.bm25 import Floats, Places, Postings
from deployments.search.ranking.messages import Messages, QueryTermsHeld, Speaker, query_weights


class IndexedHit(NamedTuple):
    """The fields of a hit. `content` is empty until it is read if it is too long for the index."""

    id: UUID
    conversation_id: str
    role: str
    name: str | None
    content: str
    metadata: str
    created_at: datetime
    utc_offset: int
    importance: float | None
    similarity: float | None
    has_content: bool = True
    user_id: str | None = None
    agent_id: str | None = None
    external_id: str | None = None
    expires_at: datetime | None = None
    fact: str | None = None


@dataclass(frozen=True)
class View:
    """The messages that pass a search's filters. slots: slot of each in the index, shape (messages,).

    similarities: cosines to the query, NaN without an embedding, shape (messages,).
    """

    index: TenantIndex
    slots: Slots
    messages: Messages
    terms: QueryTermsHeld
    similarities: Floats

    def best(self, scores: Floats, related: npt.NDArray[np.bool_], least_similarity: float, count: int) -> Places:
        """Return the places of the `count` best, best first, ties newest first.

        `related`: which messages are related to the query, shape (messages,). Others, and messages with a similarity
        below `least_similarity`, are excluded.
        """
        places = np.flatnonzero(related & ~(self.similarities < least_similarity))
        if len(places) > count:
            at_least = np.partition(scores[places], len(places) - count)[len(places) - count]
            places = places[scores[places] >= at_least]
        slots, columns = self.slots[places], self.index.columns
        order = np.lexsort((columns.low[slots], columns.high[slots], columns.created[slots], scores[places]))
        return places[order[::-1][:count]]

    def along_with(self, places: Places, ids: Collection[UUID], scores: Floats, least_similarity: float) -> Places:
        """Return `places` followed by those of `ids` that are similar enough and not included yet, best first."""
        if not ids:
            return places
        wanted = np.flatnonzero(np.isin(self.slots, self.index.slots_of(ids)) & ~(self.similarities < least_similarity))
        further = np.setdiff1d(wanted, places)
        return np.concatenate([places, further[np.argsort(-scores[further], kind="stable")]])

    def hits(self, places: Places) -> list[IndexedHit]:
        """Return the hits at these places."""
        slots = self.slots[places]
        columns = (getattr(self.index.columns, name)[slots].tolist() for name in _COLUMNS)
        seen = (column[places].tolist() for column in (self.messages.who, self.similarities))
        rows = zip(slots.tolist(), *columns, *seen, strict=True)
        owners = list(self.index.owners)
        return [self._hit(_Answered(*row), owners) for row in rows]

    def _hit(self, row: "_Answered", owners: Sequence[Owner]) -> IndexedHit:
        content, metadata, external_id, fact = self.index.texts[row.slot]
        role, name = self.messages.speakers[row.who]
        user_id, agent_id = owners[row.owners]
        return IndexedHit(
            UUID(int=row.high << 64 | row.low),
            self.index.conversation_names[row.conversations],
            role,
            name,
            content or "",
            metadata,
            from_micros(row.created),
            row.offsets,
            None if isnan(row.importances) else row.importances,
            None if isnan(row.similarity) else row.similarity,
            content is not None,
            user_id,
            agent_id,
            external_id,
            None if row.expires == NEVER else from_micros(row.expires),
            fact,
        )


class _Answered(NamedTuple):
    """A row of `View.hits`: a slot, its values in `_COLUMNS` of the index, then its values in the view."""

    slot: int
    high: int
    low: int
    conversations: int
    created: int
    offsets: int
    importances: float
    owners: int
    expires: int
    who: int
    similarity: float


_COLUMNS = _Answered._fields[1:-2]


def view(
    index: TenantIndex,
    request: SearchRequest,
    query: AnalyzedQuery,
    vector: Vector | None,
    *,
    subtract_mean: bool,
    now: datetime,
    besides: UUID | None = None,
) -> View:
    """Return the messages that pass the request's filters. `vector`: the query's vector, or None.

    `now`: messages expired by then are excluded. `besides`: the id of a message to exclude.
    """
    passes = passing(index, request, now)
    if besides is not None:
        passes[index.slots_of([besides])] = False
    if passes.all():
        slots, places = np.arange(index.slots), None
    else:
        slots = np.flatnonzero(passes)
        # The last cell maps -1 (no slot) to -1 (no place).
        places = np.full(index.slots + 1, -1, dtype=np.intp)
        places[slots] = np.arange(len(slots))
    similarities, closeness = _nearness(index, slots, vector, subtract_mean=subtract_mean)
    messages = _messages(index, slots, places, closeness)
    return View(index, slots, messages, _held(index, query, places), similarities)


def _messages(index: TenantIndex, slots: Slots, places: Places | None, closeness: Floats) -> Messages:
    """Return the arrays of some slots. places: new index of each slot, or None if all are selected (no copies)."""
    columns, at = index.columns, slice(index.slots) if places is None else slots
    previous, following = columns.previous[at], columns.following[at]
    speakers, who = (
        (list(index.speakers), columns.who[at].astype(np.intp)) if places is None else _speakers(index, slots)
    )
    return Messages(
        closeness=closeness,
        importances=columns.importances[at],
        lengths=columns.lengths[at],
        created=columns.created[at],
        conversations=apart(columns.conversations[at], columns.facts[at]),
        who=who,
        speakers=speakers,
        previous=previous if places is None else places[previous],
        following=following if places is None else places[following],
        telling=columns.telling[at],
    )


def _speakers(index: TenantIndex, slots: Slots) -> tuple[list[Speaker], Places]:
    """Return the speakers of these slots, and each slot's index among them. Others cannot match the query."""
    all_of_them, who = list(index.speakers), index.columns.who[slots]
    spoke = np.bincount(who, minlength=len(all_of_them)) > 0
    return list(compress(all_of_them, spoke.tolist())), (np.cumsum(spoke) - 1)[who]


def _nearness(index: TenantIndex, slots: Slots, vector: Vector | None, *, subtract_mean: bool) -> tuple[Floats, Floats]:
    """Return the cosines to the query, plain and after subtracting the tenant's mean vector from both."""
    if vector is None:
        nothing = np.full(len(slots), np.nan)
        return nothing, nothing
    share = 1 / (index.embedded + MEAN_PRIOR) if subtract_mean else 0.0
    mean = share * index.vector_sum
    # Multiply all slots: selecting rows would copy them.
    columns = (
        index.columns.vectors[: index.slots] @ vector.astype(np.float32),
        index.products_with_sum(),
        index.columns.norms[: index.slots],
    )
    picked = columns if len(slots) == index.slots else tuple(column[slots] for column in columns)
    to_query, to_sum, norms = (column.astype(np.float64) for column in picked)
    to_mean = share * to_sum
    query_norm, mean_norm, between = float(vector @ vector), float(mean @ mean), float(vector @ mean)
    with np.errstate(divide="ignore", invalid="ignore"):
        similarities = to_query / np.sqrt(norms * query_norm)
        around = (norms - 2 * to_mean + mean_norm) * (query_norm - 2 * between + mean_norm)
        closeness = (to_query - to_mean - between + mean_norm) / np.sqrt(np.maximum(around, 0.0))
    return similarities, closeness


def _held(index: TenantIndex, query: AnalyzedQuery, places: Places | None) -> QueryTermsHeld:
    """Return the query's rarest terms, and which messages hold them. places: see `_messages`."""
    numbers, slots, frequencies = index.postings.find(query.terms)
    holders = np.bincount(numbers[index.live[slots]], minlength=len(query.terms))
    kept = _rarest(query.terms, holders.tolist())
    renumbered = np.full(len(query.terms), -1, dtype=np.intp)
    renumbered[kept] = np.arange(len(kept))
    terms, at = renumbered[numbers], slots.astype(np.intp) if places is None else places[slots]
    there = (terms >= 0) & (at >= 0)
    held = [query.terms[number] for number in kept]
    return QueryTermsHeld(
        terms=held,
        weights=query_weights(held, query),
        postings=Postings(terms[there], at[there], frequencies[there].astype(np.float64)),
        holders=holders[kept].astype(np.float64),
        messages=float(max(len(index), 1)),
        term_count=float(index.term_count),
    )


def _rarest(terms: Sequence[str], holders: Sequence[int]) -> list[int]:
    """Return the numbers of up to TERM_LIMIT rarest held terms and up to TERM_LIMIT terms that nothing holds."""
    if len(terms) <= TERM_LIMIT:
        return list(range(len(terms)))
    order = sorted(range(len(terms)), key=lambda number: (holders[number], terms[number]))
    held = [number for number in order if holders[number]]
    nowhere = [number for number in order if not holders[number]]
    return held[:TERM_LIMIT] + nowhere[:TERM_LIMIT]
