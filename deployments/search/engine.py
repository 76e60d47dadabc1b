"""Runs a search from the query to the hits."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from time import perf_counter

import orjson
import structlog

from deployments.analysis.query import AnalyzedQuery, analyze_query
from deployments.analysis.read_part import HEAVY_CHARACTERS, read_part
from deployments.analysis.terms import Languages
from deployments.errors import MemoryLayerError
from deployments.schemas.facts import FactDetails, Kind
from deployments.schemas.messages import Role
from deployments.schemas.search import Criteria, SearchAnswer, SearchHit, SearchRequest
from deployments.search.instruments import SearchInstruments
from deployments.search.plans import Clock, Ranking, Search, SearchPlan, utc_now
from deployments.search.ranking.ordering import Ranked
from deployments.search.ranking.parts import Question
from deployments.search.ranking.successions import newest_first
from deployments.search.reranking.order import rescored
from deployments.search.reranking.stage import RerankStage
from deployments.search.side_by_side import side_by_side
from deployments.storage.postgres.zones import at_offset
from deployments.storage.search.candidates import CandidateRepository
from deployments.storage.tenants.languages import QueryLanguages

logger = structlog.get_logger(__name__)


class SearchEngine:
    """Analyses the query, ranks messages with a search plan, and converts them into hits."""

    def __init__(
        self,
        plans: Sequence[SearchPlan],
        candidates: CandidateRepository,
        languages: QueryLanguages,
        instruments: SearchInstruments | None = None,
        reranking: RerankStage | None = None,
        clock: Clock = utc_now,
    ) -> None:
        """`plans`: tried in order; the last serves every tenant. `reranking`: None keeps the ranking's order."""
        self._plans = plans
        self._candidates = candidates
        self._languages = languages
        self._instruments = instruments or SearchInstruments()
        self._reranking = reranking
        self._clock = clock

    async def search_many(self, searches: Sequence[Search]) -> list[SearchAnswer | MemoryLayerError]:
        """Run searches concurrently. Return one answer or one error for each, in order."""
        return await side_by_side(searches, self.search, "search")

    async def search(self, search: Search) -> SearchAnswer:
        """Run one search. Raises `DatabaseUnavailableError`, `OverloadedError`."""
        return await self._instruments.searches.of(self._search(search))

    async def _search(self, search: Search) -> SearchAnswer:
        started = perf_counter()
        request = search.request
        now = request.asked_at or self._clock()
        query = await _analyzed(request.query, now, await self.languages_of(request))
        depth = self._reranking.depth(request.top_k) if self._reranking else request.top_k
        ranking = await self._ranking(search, Question(read_part(request.query), now, query), depth)
        hits = [to_hit(each, explain=request.explain) for each in ranking.ranked]
        if self._reranking:
            hits = await self._reranking.best(request, hits)
            hits = newest_first(hits, ranking.successors, lambda hit: hit.message_id, rescored)
        if request.neighbors:
            hits = await self._with_neighbors(request, hits)
        logger.debug(
            "searched",
            hits=len(hits),
            scored=ranking.scored,
            degraded=ranking.degraded,
            duration_ms=round((perf_counter() - started) * 1e3, 2),
        )
        return SearchAnswer.model_construct(total=len(hits), degraded=ranking.degraded, items=hits)

    async def _ranking(self, search: Search, question: Question, depth: int) -> Ranking:
        for plan in self._plans:
            ranking = await plan.ranking(search, question, depth)
            if ranking is not None:
                return ranking
        raise RuntimeError("No way serves this tenant.")

    async def languages_of(self, request: Criteria) -> Languages:
        """Return the languages for analysing a query: the request's language first, then the tenant's."""
        own = () if request.language is None else (request.language,)
        return tuple(dict.fromkeys((*own, *await self._languages.of(request.tenant_id))))

    async def _with_neighbors(self, request: SearchRequest, hits: Sequence[SearchHit]) -> list[SearchHit]:
        around = await self._candidates.neighbors(request, [hit.message_id for hit in hits], self._clock())
        return [hit.model_copy(update={"neighbors": around[hit.message_id]}) for hit in hits]


async def _analyzed(text: str, now: datetime, languages: Languages) -> AnalyzedQuery:
    # Up to 15 ms: a thread does it, and other searches go on.
    if len(text) > HEAVY_CHARACTERS:
        return await asyncio.to_thread(analyze_query, text, now, languages)
    return analyze_query(text, now, languages)


def to_hit(ranked: Ranked, *, explain: bool) -> SearchHit:
    """Return the search hit for a ranked candidate."""
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
        external_id=found.external_id,
        user_id=found.user_id,
        agent_id=found.agent_id,
        expires_at=found.expires_at,
        kind=Kind.MESSAGE if found.fact is None else Kind.FACT,
        fact=None if found.fact is None else _details(found.fact),
    )


def _details(fact: str) -> FactDetails:
    """Return the details that `described_fact` wrote, without the fields that answers omit."""
    described = orjson.loads(fact)
    del described["superseded_at"]
    return FactDetails.model_validate(described)
