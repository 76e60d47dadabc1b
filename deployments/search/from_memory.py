"""Searches a tenant's in-memory index, which is brought up to date first. Every message that passes is scored."""

import asyncio
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from deployments.schemas.search import SearchRequest
from deployments.schemas.vectors import QueryVector, Vector
from deployments.search.best_first import Seen, best_first
from deployments.search.index.resident import Indexes, Resident
from deployments.search.index.tenant_index import TenantIndex
from deployments.search.index.view import view
from deployments.search.instruments import SearchInstruments
from deployments.search.plans import Clock, Ranking, Search, utc_now
from deployments.search.query_embedding import QueryEmbedding
from deployments.search.ranking.bm25 import Bm25
from deployments.search.ranking.ordering import best_of
from deployments.search.ranking.parts import Question, related, scored
from deployments.settings import SearchSettings
from deployments.storage.search.hit_contents import HitContents
from deployments.tracing.spans import span

# How often a query is embedded at most while the active space keeps changing, before the search uses words only. The
# space changes rarely.
SPACE_CHANGES = 3
# Scoring this many messages takes 4 ms. Larger indexes are scored in a thread, so the event loop stays free.
DIRECT_MESSAGES = 20_000


@dataclass(frozen=True)
class _Asked:
    """A search of an index.

    `now`: messages expired by then are excluded. `besides`: see `Search`. `also`: ids to return besides the best.
    """

    request: SearchRequest
    question: Question
    vector: Vector | None
    now: datetime
    besides: UUID | None
    also: Collection[UUID]


class FromMemory:
    """The search plan for tenants whose index fits into memory."""

    def __init__(
        self,
        indexes: Indexes,
        contents: HitContents,
        embedding: QueryEmbedding,
        settings: SearchSettings,
        instruments: SearchInstruments,
        clock: Clock = utc_now,
    ) -> None:
        """`clock` decides which messages have expired."""
        self._indexes = indexes
        self._contents = contents
        self._embedding = embedding
        self._settings = settings
        self._bm25 = Bm25(settings.bm25_k1, settings.bm25_b, settings.neighbor_share)
        self._instruments = instruments
        self._clock = clock

    async def ranking(self, search: Search, question: Question, depth: int) -> Ranking | None:
        """Return the best `depth` messages, or None if the tenant is too large for memory."""
        request = search.request
        resident = await self._fresh(request)
        if resident is None:
            return None
        vector = await self._vector(search, resident)

        async def look(count: int, also: Collection[UUID]) -> Seen | None:
            index = resident.index
            if index is None:
                return None
            usable = vector.values if vector is not None and vector.space == index.space else None
            asked = _Asked(request, question, usable, self._clock(), search.besides, also)
            return await self._seen(resident, index, asked, count)

        return await best_first(request, depth, look, self._contents)

    async def _fresh(self, request: SearchRequest) -> Resident | None:
        with self._instruments.index.time(), span("index"):
            return await self._indexes.fresh(request.tenant_id, archived=request.include_archived)

    async def _vector(self, search: Search, resident: Resident) -> QueryVector | None:
        """Return the query's vector, in the space of the index if possible, or None.

        The active space may change meanwhile, and Embedding may see the change before the index does.
        """
        for _ in range(SPACE_CHANGES):
            if resident.index is not None:
                self._embedding.follow(resident.index.space)
            vector = await self._embedding.vector(search.request.query, search.request_id)
            if vector is None or resident.index is None or vector.space == resident.index.space:
                break
            await self._fresh(search.request)
        return vector

    async def _seen(self, resident: Resident, index: TenantIndex, asked: _Asked, count: int) -> Seen:
        with self._instruments.rank.time(), span("rank"):
            if len(index) <= DIRECT_MESSAGES:
                return self._look(index, asked, count)
            async with resident.applying:
                return await asyncio.to_thread(self._look, index, asked, count)

    def _look(self, index: TenantIndex, asked: _Asked, count: int) -> Seen:
        request, question = asked.request, asked.question
        seen = view(
            index,
            request,
            question.query,
            asked.vector,
            subtract_mean=self._settings.subtract_mean,
            now=asked.now,
            besides=asked.besides,
        )
        scores = scored(seen.messages, seen.terms, question, request.weights, self._bm25)
        places = seen.best(scores.scores, related(seen.messages, seen.terms, question), request.min_similarity, count)
        everything = len(places) < count
        places = seen.along_with(places, asked.also, scores.scores, request.min_similarity)
        best = best_of(places, scores, seen.terms)
        return Seen(
            best=best,
            hits=seen.hits(places),
            scored=len(seen.messages),
            degraded=asked.vector is None,
            all=everything,
        )
