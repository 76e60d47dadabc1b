"""Assembles a context from the request to the answer."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from time import perf_counter
from uuid import UUID

import structlog
from opentelemetry.trace import SpanContext

from deployments.analysis.terms import Languages
from deployments.errors import MemoryLayerError
from deployments.schemas.candidates import Turn
from deployments.schemas.context import ContextAnswer, ContextRequest, Scope
from deployments.schemas.messages import Role
from deployments.schemas.search import MAX_TOP_K, Criteria, MemorySearch, SearchAnswer
from deployments.search.context.selection import assemble
from deployments.search.instruments import SearchInstruments
from deployments.search.plans import Search
from deployments.search.side_by_side import side_by_side
from deployments.storage.messages.recent_turns import RecentTurnRepository

logger = structlog.get_logger(__name__)

NOTHING_FOUND = SearchAnswer(total=0, items=[])
# Without a query in the request, the assembler takes the user's last turn among this many recent turns as the query:
# tool calls and their results may follow it.
TURNS_WITH_A_QUERY = 20
# Longer contexts are assembled in a thread, because counting and comparing them would block the event loop.
DIRECT_CHARACTERS = 100_000


@dataclass(frozen=True)
class Context:
    """A requested context with the id and the span of its HTTP request."""

    request: ContextRequest
    request_id: str | None
    trace: SpanContext | None = None


class ContextAssembler:
    """Reads recent turns, searches memories, and combines both."""

    def __init__(
        self,
        turns: RecentTurnRepository,
        search: Callable[[Search], Awaitable[SearchAnswer]],
        languages: Callable[[Criteria], Awaitable[Languages]],
        instruments: SearchInstruments | None = None,
    ) -> None:
        self._turns = turns
        self._search = search
        self._languages = languages
        self._instruments = instruments or SearchInstruments()

    async def assemble_many(self, contexts: Sequence[Context]) -> list[ContextAnswer | MemoryLayerError]:
        """Assemble contexts concurrently. Return one answer or one error for each, in order."""
        return await side_by_side(contexts, self._measured, "context")

    async def _measured(self, context: Context) -> ContextAnswer:
        return await self._instruments.contexts.of(self._assemble(context))

    async def _assemble(self, context: Context) -> ContextAnswer:
        started = perf_counter()
        recent, found, query = await self._gather(context)
        # Already cached by the search.
        languages = await self._languages(context.request) if found.items else ()
        if _characters(recent, found) > DIRECT_CHARACTERS:
            answer = await asyncio.to_thread(assemble, context.request, recent, found, query, languages)
        else:
            answer = assemble(context.request, recent, found, query, languages)
        logger.debug(
            "context_assembled",
            items=len(answer.items),
            omitted=answer.omitted,
            tokens=answer.tokens_used,
            degraded=answer.degraded,
            duration_ms=round((perf_counter() - started) * 1e3, 2),
        )
        return answer

    async def _gather(self, context: Context) -> tuple[list[Turn], SearchAnswer, str]:
        """Return the recent turns, the memories and the query. Read both concurrently if the query is known."""
        request = context.request
        if not request.token_budget:
            return [], NOTHING_FOUND, ""
        if request.query is not None:
            recent, found = await asyncio.gather(
                self._recent(request, request.recent_turns), self._memories(context, request.query)
            )
            return recent, found, request.query
        recent = await self._recent(request, max(request.recent_turns, TURNS_WITH_A_QUERY))
        asked = last_question(recent)
        found = await self._memories(context, asked and asked.content, asked and asked.id)
        return recent[: request.recent_turns], found, asked.content if asked else ""

    async def _recent(self, request: ContextRequest, limit: int) -> list[Turn]:
        if not limit:
            return []
        return await self._turns.newest(
            request.tenant_id,
            request.conversation_id,
            limit,
            datetime.now(UTC),
            user_id=request.user_id,
            include_archived=request.include_archived,
            as_of=request.as_of,
        )

    async def _memories(self, context: Context, query: str | None, besides: UUID | None = None) -> SearchAnswer:
        request = context.request
        if query is None or not request.top_k:
            return NOTHING_FOUND
        return await self._search(Search(to_search(request, query), context.request_id, besides=besides))


def last_question(turns: Sequence[Turn]) -> Turn | None:
    """Return the user's last turn, or the last turn if there is none, as between two tools."""
    return next((turn for turn in turns if turn.role is Role.USER), next(iter(turns), None))


def to_search(request: ContextRequest, query: str) -> MemorySearch:
    """Return a search deep enough for `top_k` memories even if it ranks the question and all recent turns first.

    It finds only facts that hold at the time of asking.
    """
    shared = {name: getattr(request, name) for name in Criteria.model_fields}
    return MemorySearch(
        facts_hold_at=request.asked_at or datetime.now(UTC),
        query=query,
        top_k=min(request.top_k + request.recent_turns + 1, MAX_TOP_K),
        conversation_id=request.conversation_id if request.scope is Scope.CONVERSATION else None,
        **shared,
    )


def _characters(recent: Sequence[Turn], found: SearchAnswer) -> int:
    around = (turn for hit in found.items for turn in hit.neighbors or ())
    return sum(len(turn.content) for turns in (recent, found.items, around) for turn in turns)
