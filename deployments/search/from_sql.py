"""Ranks candidates that SQL finds, for tenants whose index is too large for memory."""

from collections.abc import Collection
from uuid import UUID

from deployments.schemas.candidates import Candidates
from deployments.schemas.vectors import QueryVector
from deployments.search.best_first import Seen, best_first
from deployments.search.instruments import SearchInstruments
from deployments.search.plans import Clock, Ranking, Search, utc_now
from deployments.search.query_embedding import QueryEmbedding
from deployments.search.ranking.bm25 import Bm25
from deployments.search.ranking.ordering import best_candidates
from deployments.search.ranking.parts import Question
from deployments.search.recall.samples import RecallSamples
from deployments.settings import SearchSettings
from deployments.storage.search.candidate_search import VectorScan, find
from deployments.storage.search.candidates import CandidateRepository
from deployments.storage.search.hit_contents import HitContents
from deployments.tracing.spans import span

# How often a search embeds its query again after the active space changed, before it uses words only. The active space
# changes rarely.
SPACE_CHANGES = 2


class FromSql:
    """The search plan for tenants of any size. A sample of its HNSW index searches is audited."""

    def __init__(
        self,
        candidates: CandidateRepository,
        contents: HitContents,
        embedding: QueryEmbedding,
        settings: SearchSettings,
        instruments: SearchInstruments,
        samples: RecallSamples | None = None,
        clock: Clock = utc_now,
    ) -> None:
        """`samples` collects searches for recall audits. `clock` decides which messages have expired."""
        self._candidates = candidates
        self._contents = contents
        self._embedding = embedding
        self._settings = settings
        self._bm25 = Bm25(settings.bm25_k1, settings.bm25_b, settings.neighbor_share)
        self._instruments = instruments
        self._samples = samples
        self._clock = clock

    async def ranking(self, search: Search, question: Question, depth: int) -> Ranking | None:
        """Return the best `depth` of the candidates found by words and by vector."""
        request = search.request
        candidates, degraded = await self._find_in_the_active_space(search, question)
        candidates = candidates.without(search.besides)
        with self._instruments.rank.time(), span("rank"):
            best, hits = best_candidates(candidates, question, request.weights, self._bm25, request.min_similarity)

        async def look(count: int, also: Collection[UUID]) -> Seen:
            places = [place for place, hit in enumerate(hits) if place < count or hit.id in also]
            return Seen(
                best=best.at(places),
                hits=[hits[place] for place in places],
                scored=len(candidates.found),
                degraded=degraded,
                all=count >= len(hits),
            )

        return await best_first(request, depth, look, self._contents)

    async def _find_in_the_active_space(self, search: Search, question: Question) -> tuple[Candidates, bool]:
        """Return the candidates, and whether only words found them. Embed the query again if the space changed."""
        embedding = await self._embedding.vector(search.request.query, search.request_id)
        candidates = await self._find(search, question, embedding)
        for _ in range(SPACE_CHANGES):
            if embedding is None or embedding.space == candidates.corpus.space:
                break
            embedding = await self._embedding.vector(search.request.query, search.request_id)
            if embedding is not None:
                candidates = await self._find(search, question, embedding)
        return candidates, embedding is None or embedding.space != candidates.corpus.space

    async def _find(self, search: Search, question: Question, embedding: QueryVector | None) -> Candidates:
        """Return the candidates in the active space. Later queries are embedded in that space."""
        request = search.request
        with self._instruments.sql.time():
            candidates, scan = await find(
                self._candidates, request, question.query, embedding, self._settings, self._clock()
            )
        space = candidates.corpus.space
        self._embedding.follow(space)
        walked = scan is not VectorScan.EXACT and embedding is not None and embedding.space == space
        if self._samples is not None and embedding is not None and walked:
            self._samples.offer(request, embedding, candidates.corpus.embedded, search.request_id)
        return candidates
