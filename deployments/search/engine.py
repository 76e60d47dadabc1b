"""A search from the query to the hits."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from time import monotonic, perf_counter

import orjson
import structlog
from cachetools import LRUCache
from opentelemetry.trace import SpanContext

from deployments.embedding.providers.protocol import EmbeddingSpace, QueryVector
from deployments.errors import EmbeddingError, MemoryLayerError, UnavailableError
from deployments.schemas import Role
from deployments.search.analysis.query import AnalyzedQuery, analyze_query
from deployments.search.analysis.terms import Languages
from deployments.search.bm25 import Bm25
from deployments.search.measures import SearchMeasures
from deployments.search.parts import Question
from deployments.search.ranking import Floors, Ranked, rank
from deployments.search.recall_samples import RecallSamples
from deployments.search.reranking.stage import RerankStage
from deployments.search.side_by_side import side_by_side
from deployments.search_schemas import SearchAnswer, SearchHit, SearchRequest
from deployments.settings import SearchSettings
from deployments.storage.candidates import CandidateRepository, Candidates
from deployments.storage.finding import find
from deployments.storage.tenant_languages import QueryLanguages
from deployments.storage.zones import at_offset
from deployments.tracing.spans import span

logger = structlog.get_logger(__name__)


# How often a search asks for its query in another space before it goes on with words alone: they change places once in
# a long time.
SPACE_CHANGES = 2
# While the embedding side is away, only so often does a search pay the timeout to see whether it is back.
EMBEDDING_PAUSE_SECONDS = 1.0
REMEMBERED_TENANTS = 100_000
# The mean of so much text says no more with more of it, while 100,000 emoji take 2.3 s to embed.
EMBEDDED_CHARACTERS = 8_192
# To analyse 100,000 characters takes up to 0.5 s: beyond so many a thread does it, and other searches go on.
DIRECT_CHARACTERS = 8_192


@dataclass(frozen=True)
class Search:
    """A search, and the HTTP request and the span that wait for it."""

    request: SearchRequest
    request_id: str | None
    trace: SpanContext | None = None


class SearchEngine:
    """Embeds the query, finds candidates, ranks them."""

    def __init__(
        self,
        candidates: CandidateRepository,
        embed: Callable[[str, str | None, EmbeddingSpace | None], Awaitable[QueryVector]],
        settings: SearchSettings,
        measures: SearchMeasures | None = None,
        samples: RecallSamples | None = None,
        languages: QueryLanguages | None = None,
        reranking: RerankStage | None = None,
    ) -> None:
        """`embed`: a query, its request's id and the space that is wanted, None if it is not known yet.

        `samples`: takes a sample of the searches, to be audited. `languages`: of tenants; None: that of the settings.
        `reranking`: None answers in the ranking's order.
        """
        self._candidates = candidates
        self._embed = embed
        self._settings = settings
        self._measures = measures or SearchMeasures()
        self._samples = samples
        self._reranking = reranking
        self._languages = languages
        self._bm25 = Bm25(settings.bm25_k1, settings.bm25_b, settings.neighbor_share)
        self._sizes: LRUCache[str, int] = LRUCache(REMEMBERED_TENANTS)
        self._embedding_paused_until = 0.0
        self._space: EmbeddingSpace | None = None

    async def search_many(self, searches: Sequence[Search]) -> list[SearchAnswer | MemoryLayerError]:
        """Run searches side by side; each has its own answer or its own error, in order."""
        return await side_by_side(searches, self.search, "search")

    async def search(self, search: Search) -> SearchAnswer:
        """One search. Raises `DatabaseUnavailableError`, `OverloadedError`."""
        return await self._measures.searches.of(self._search(search))

    async def _search(self, search: Search) -> SearchAnswer:
        started = perf_counter()
        request = search.request
        now = request.asked_at or datetime.now(UTC)
        query = await _analyzed(request.query, now, await self._languages_of(request))
        candidates, degraded = await self._find_in_the_active_space(search, query)
        with self._measures.rank.time(), span("rank"):
            ranked = self._rank(candidates, Question(request.query, now, query), request)
        hits = [to_hit(each, explain=request.explain) for each in ranked]
        if self._reranking:
            hits = await self._reranking.best(request, hits)
        if request.neighbors:
            hits = await self._with_neighbors(request, hits)
        logger.info(
            "searched",
            hits=len(hits),
            candidates=len(candidates.found),
            degraded=degraded,
            duration_ms=round((perf_counter() - started) * 1e3, 2),
        )
        return SearchAnswer.model_construct(total=len(hits), degraded=degraded, items=hits)

    def _rank(self, candidates: Candidates, question: Question, request: SearchRequest) -> list[Ranked]:
        depth = self._reranking.depth(request.top_k) if self._reranking else request.top_k
        floors = Floors(request.min_score, request.min_similarity)
        return rank(candidates, question, request.weights, self._bm25, depth, floors)

    async def _languages_of(self, request: SearchRequest) -> Languages:
        own = () if request.language is None else (request.language,)
        tenants = await self._languages.of(request.tenant_id) if self._languages else (self._settings.language,)
        return tuple(dict.fromkeys((*own, *tenants)))

    async def _find_in_the_active_space(self, search: Search, query: AnalyzedQuery) -> tuple[Candidates, bool]:
        """What was found, and whether it was by words alone. The space that was active last is taken to be still so."""
        embedding = await self._embedding(search, self._space)
        candidates = await self._find(search, query, embedding)
        for _ in range(SPACE_CHANGES):
            if embedding is None or embedding.space == candidates.corpus.space:
                break
            embedding = await self._embedding(search, candidates.corpus.space)
            if embedding is not None:
                candidates = await self._find(search, query, embedding)
        return candidates, embedding is None or embedding.space != candidates.corpus.space

    async def _embedding(self, search: Search, space: EmbeddingSpace | None) -> QueryVector | None:
        if monotonic() < self._embedding_paused_until:
            return None
        try:
            with self._measures.embed.time():
                async with asyncio.timeout(self._settings.embedding_timeout_seconds):
                    query = search.request.query[:EMBEDDED_CHARACTERS]
                    return await self._embed(query, search.request_id, space)
        except (EmbeddingError, UnavailableError, TimeoutError) as error:
            self._embedding_paused_until = monotonic() + EMBEDDING_PAUSE_SECONDS
            logger.warning("query_not_embedded", reason=str(error) or type(error).__name__)
            return None

    async def _find(self, search: Search, query: AnalyzedQuery, embedding: QueryVector | None) -> Candidates:
        """What there is in the active space, which is remembered."""
        request = search.request
        size = self._sizes.get(request.tenant_id, 0)
        with self._measures.sql.time():
            candidates, _ = await find(self._candidates, request, query, embedding, self._settings, size)
        self._space = candidates.corpus.space
        if candidates.found:
            self._sizes[request.tenant_id] = candidates.corpus.embedded
        if self._samples is not None and embedding is not None and embedding.space == self._space:
            self._samples.offer(request, embedding, size, candidates.corpus.embedded, search.request_id)
        return candidates

    async def _with_neighbors(self, request: SearchRequest, hits: Sequence[SearchHit]) -> list[SearchHit]:
        around = await self._candidates.neighbors(request, [hit.message_id for hit in hits])
        return [hit.model_copy(update={"neighbors": around[hit.message_id]}) for hit in hits]


async def _analyzed(text: str, now: datetime, languages: Languages) -> AnalyzedQuery:
    if len(text) > DIRECT_CHARACTERS:
        return await asyncio.to_thread(analyze_query, text, now, languages)
    return analyze_query(text, now, languages)


def to_hit(ranked: Ranked, *, explain: bool) -> SearchHit:
    """A ranked candidate as it is answered."""
    found = ranked.candidate
    return SearchHit.model_construct(
        message_id=found.id,
        conversation_id=found.conversation_id,
        role=Role(found.role),
        name=found.name,
        content=found.content,
        metadata=orjson.loads(found.metadata),
        created_at=at_offset(found.created_at, found.utc_offset),
        score=ranked.score,
        similarity=found.similarity,
        importance=found.importance,
        explanation=ranked.parts._asdict() if explain else None,
        neighbors=None,
    )
