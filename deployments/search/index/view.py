"""What a search reads of a tenant's index: the messages that its filters let through."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import compress
from typing import NamedTuple
from uuid import UUID

import numpy as np
import numpy.typing as npt

from deployments.embedding.providers.protocol import Vector
from deployments.search.analysis.query import AnalyzedQuery
from deployments.search.bm25 import Floats, Places, Posting
from deployments.search.index.tenant_index import Slots, TenantIndex
from deployments.search.messages import Messages, QueryTermsHeld, Speaker, micros
from deployments.search_schemas import SearchRequest
from deployments.storage.candidates import MEAN_PRIOR, TERM_LIMIT

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class IndexedHit(NamedTuple):
    """What is answered of a message. `content`: empty until it is read, where it is too long to be kept."""

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


@dataclass(frozen=True)
class View:
    """The messages that a search is among, by place. slots: where each is in the index, shape (messages,).

    similarities: cosines to the query, NaN where there is no embedding, shape (messages,).
    """

    index: TenantIndex
    slots: Slots
    messages: Messages
    terms: QueryTermsHeld
    similarities: Floats

    def best(self, scores: Floats, related: npt.NDArray[np.bool_], least_similarity: float, count: int) -> Places:
        """Return the places of the `count` best, best first, ties by newest first.

        `related`: whether a message has to do with the query at all, shape (messages,). Others are left out, and so is
        what is less similar.
        """
        places = np.flatnonzero(related & ~(self.similarities < least_similarity))
        if len(places) > count:
            at_least = np.partition(scores[places], len(places) - count)[len(places) - count]
            places = places[scores[places] >= at_least]
        slots, columns = self.slots[places], self.index.columns
        order = np.lexsort((columns.low[slots], columns.high[slots], columns.created[slots], scores[places]))
        return places[order[::-1][:count]]

    def hits(self, places: Places) -> list[IndexedHit]:
        """Return what is answered of the messages at these places."""
        return [
            self._hit(place, slot) for place, slot in zip(places.tolist(), self.slots[places].tolist(), strict=True)
        ]

    def _hit(self, place: int, slot: int) -> IndexedHit:
        index, columns = self.index, self.index.columns
        text, speaker = index.texts[slot], self.messages.speakers[int(self.messages.who[place])]
        return IndexedHit(
            id=index.id_of(slot),
            conversation_id=index.conversation_names[int(columns.conversations[slot])],
            role=speaker.role,
            name=speaker.name,
            content=text.content or "",
            metadata=text.metadata,
            created_at=_EPOCH + timedelta(microseconds=int(columns.created[slot])),
            utc_offset=int(columns.offsets[slot]),
            importance=_or_none(columns.importances[slot]),
            similarity=_or_none(self.similarities[place]),
            has_content=text.content is not None,
        )


def view(
    index: TenantIndex,
    request: SearchRequest,
    query: AnalyzedQuery,
    vector: Vector | None,
    *,
    subtract_mean: bool,
    allowed: Collection[UUID] | None = None,
) -> View:
    """Return the messages that pass the request's filters. `vector`: the query's, None: it has none.

    `allowed`: those that pass the filters that the index does not know; None: there are no such filters.
    """
    slots = _passing(index, request, allowed)
    places = np.full(index.slots + 1, -1, dtype=np.intp)
    places[slots] = np.arange(len(slots))
    similarities, closeness = _nearness(index, slots, vector, subtract_mean=subtract_mean)
    columns = index.columns
    speakers, who = _speakers(index, slots)
    messages = Messages(
        closeness=closeness,
        importances=columns.importances[slots].astype(np.float64),
        lengths=columns.lengths[slots].astype(np.float64),
        created=columns.created[slots],
        conversations=columns.conversations[slots].astype(np.intp),
        who=who,
        speakers=speakers,
        # The last cell stands for none: -1 is its index, and its value.
        previous=places[columns.previous[slots]],
        following=places[columns.following[slots]],
        telling=columns.telling[slots],
    )
    return View(index, slots, messages, _held(index, query, places), similarities)


def _passing(index: TenantIndex, request: SearchRequest, allowed: Collection[UUID] | None) -> Slots:
    columns, slots = index.columns, index.slots
    passing = index.live.copy()
    if request.conversation_id is not None:
        passing &= columns.conversations[:slots] == index.conversations.get(request.conversation_id, -1)
    if request.role is not None:
        of_role = np.array([speaker.role == request.role for speaker in index.speakers], dtype=np.bool_)
        passing &= of_role[columns.who[:slots]] if slots else passing
    if request.min_importance is not None:
        passing &= columns.importances[:slots] >= request.min_importance
    if request.created_after is not None:
        passing &= columns.created[:slots] >= micros(request.created_after)
    if request.created_before is not None:
        passing &= columns.created[:slots] < micros(request.created_before)
    if allowed is not None:
        let_through = np.zeros_like(passing)
        let_through[index.slots_of(allowed)] = True
        passing &= let_through
    return np.flatnonzero(passing)


def _speakers(index: TenantIndex, slots: Slots) -> tuple[list[Speaker], Places]:
    """Return who said the messages in these slots, and the place there of each: a query can name nobody else."""
    all_of_them, who = list(index.speakers), index.columns.who[slots]
    spoke = np.bincount(who, minlength=len(all_of_them)) > 0
    return list(compress(all_of_them, spoke.tolist())), (np.cumsum(spoke) - 1)[who]


def _nearness(index: TenantIndex, slots: Slots, vector: Vector | None, *, subtract_mean: bool) -> tuple[Floats, Floats]:
    """Return the cosines to the query, and the same after the mean of the tenant's vectors is taken off both."""
    if vector is None:
        nothing = np.full(len(slots), np.nan)
        return nothing, nothing
    share = 1 / (index.embedded + MEAN_PRIOR) if subtract_mean else 0.0
    mean, to_mean = share * index.vector_sum, share * index.products_with_sum()[slots].astype(np.float64)
    # All slots at once: to pick rows would copy them.
    to_query = (index.columns.vectors[: index.slots] @ vector.astype(np.float32))[slots].astype(np.float64)
    norms = index.columns.norms[slots].astype(np.float64)
    query_norm, mean_norm, between = float(vector @ vector), float(mean @ mean), float(vector @ mean)
    with np.errstate(divide="ignore", invalid="ignore"):
        similarities = to_query / np.sqrt(norms * query_norm)
        around = (norms - 2 * to_mean + mean_norm) * (query_norm - 2 * between + mean_norm)
        closeness = (to_query - to_mean - between + mean_norm) / np.sqrt(np.maximum(around, 0.0))
    return similarities, closeness


def _held(index: TenantIndex, query: AnalyzedQuery, places: Places) -> QueryTermsHeld:
    """Return the rarest of the query's terms, and what holds them."""
    live = index.live
    found = [
        (int(live[slots].sum()), term, slots, times)
        for term, (slots, times) in zip(query.terms, index.postings.find(query.terms), strict=True)
    ]
    held = sorted((each for each in found if each[0]), key=lambda each: each[:2])
    nowhere = sorted((each for each in found if not each[0]), key=lambda each: each[1])
    kept = held[:TERM_LIMIT] + nowhere[:TERM_LIMIT]
    return QueryTermsHeld(
        terms=[term for _, term, _, _ in kept],
        postings=[_posting(places[slots], times) for _, _, slots, times in kept],
        holders=np.array([holders for holders, _, _, _ in kept], dtype=np.float64),
        messages=float(max(len(index), 1)),
        term_count=float(index.term_count),
    )


def _posting(places: Places, times: npt.NDArray[np.uint8]) -> Posting:
    there = places >= 0
    return Posting(places[there], times[there].astype(np.float64))


def _or_none(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
