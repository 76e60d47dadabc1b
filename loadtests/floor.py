"""The floor: one uvicorn process, FastAPI, the product's SQL and models. No Ray, no batching, no keys, no logs.

`python -m loadtests.floor --port 8100` answers the requests of `loadtests.bench` from the product's database
(`MEMORY_DATABASE_URL`, or the embedded one under `MEMORY_DATA_DIR`). It is the straightforward service without Ray:
each request takes a connection, runs the product's statement, ranks, answers.
"""

import argparse
import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any, Literal

import asyncpg
import numpy as np
import numpy.typing as npt
import uvicorn
from cachetools import LRUCache
from fastapi import APIRouter, FastAPI, Query, Request
from pgvector.asyncpg import register_vector
from pydantic import BaseModel, Field

from deployments.analysis.query import analyze_query
from deployments.embedding.providers.protocol import EmbeddingProvider
from deployments.embedding.providers.registry import create_provider
from deployments.embedding.spaces import OneSpace
from deployments.embedding.worker import EmbeddingWorker
from deployments.embedding_space import embedding_space
from deployments.schemas.messages import MAX_BATCH, Message, NewMessage
from deployments.schemas.search import SearchAnswer, SearchParameters, SearchRequest
from deployments.schemas.vectors import QueryVector
from deployments.scoring.importance import importance
from deployments.scoring.scorable import Scorable
from deployments.search.engine import to_hit
from deployments.search.ranking.bm25 import Bm25
from deployments.search.ranking.ordering import Floors, best_candidates, ordered, versions_of
from deployments.search.ranking.parts import Question
from deployments.settings import Settings
from deployments.storage.embeddings.jobs import EmbeddingJobRepository
from deployments.storage.messages.analysis import Analysis, terms_of
from deployments.storage.messages.drafts import AnalyzedDraft, Draft, draft, store_parameters
from deployments.storage.messages.where_sql import EVERYTHING
from deployments.storage.postgres.database import SESSION, Database, PoolSize
from deployments.storage.postgres.named_queries import load_queries
from deployments.storage.postgres.schema import database_url, prepare
from deployments.storage.search.candidates import search_parameters, to_candidates
from deployments.storage.tenants.languages import default_languages
from loadtests.environment import use_the_services_database

_DRAIN_BATCH = 128


class _Direct:
    """Three methods of a connection: aiosql searches all attributes of the object that it gets, so keep them few."""

    __slots__ = ("fetch", "fetchrow", "fetchval")

    def __init__(self, connection: Any) -> None:
        self.fetch = connection.fetch
        self.fetchrow = connection.fetchrow
        self.fetchval = connection.fetchval


class FloorBatch(BaseModel):
    """The request body of a batch."""

    messages: Annotated[list[NewMessage], Field(min_length=1, max_length=MAX_BATCH)]


class FloorAccepted(BaseModel):
    """A message that was stored."""

    status: Literal[202] = 202
    message: Message


class FloorBatchAnswer(BaseModel):
    """The results of a batch."""

    accepted: int
    rejected: int
    items: list[FloorAccepted]


@dataclass
class Floor:
    """The state of the handlers."""

    settings: Settings
    pool: Any
    provider: EmbeddingProvider

    def __post_init__(self) -> None:
        self._space = embedding_space(self.settings)
        search = self.settings.search
        self._bm25 = Bm25(search.bm25_k1, search.bm25_b, search.neighbor_share)
        self._search = load_queries("search", dimensions=self._space.dimensions, where=EVERYTHING.text)
        self._messages = load_queries("messages")
        self._policy = default_languages(search)
        self._jobs = load_queries("embedding_jobs")
        self._known: LRUCache[str, npt.NDArray[np.float32]] = LRUCache(max(self.settings.embedding.cache_size, 1))

    async def search(self, parameters: SearchParameters) -> SearchAnswer:
        """Embed the query, fetch candidates, rank them."""
        embedding = QueryVector(self._space, await self._embedded(parameters.query))
        limit = max(self.settings.search.candidates, parameters.top_k)
        request = SearchRequest.model_validate(parameters.model_dump())
        now = datetime.now(UTC)
        query = analyze_query(request.query, now, (self._policy.language,))
        async with self._connection() as connection:
            rows = self._search.find_candidates(
                connection,
                **search_parameters(request, query, embedding, self.settings.search, limit, now),
                exact=True,
                indexed=False,
            )
            found = to_candidates([row async for row in rows])
        question = Question(request.query, now, query)
        best, candidates = best_candidates(found, question, request.weights, self._bm25, request.min_similarity)
        versions = versions_of(best, candidates, request.top_k)
        ranked = ordered(best, candidates, versions, request.weights, request.top_k, Floors())
        hits = [to_hit(each, explain=False) for each in ranked]
        return SearchAnswer.model_construct(total=len(hits), degraded=False, items=hits)

    async def store(self, drafts: Sequence[Draft]) -> list[Message]:
        """Store the messages with one statement, committed before this returns."""
        async with self._connection() as connection:
            parameters = store_parameters([AnalyzedDraft(each, self._analyzed(each.message)) for each in drafts])
            await self._messages.store_messages(connection, **parameters)
        return [each.message for each in drafts]

    def _analyzed(self, message: Message) -> Analysis:
        return Analysis(*terms_of(message, self._policy), self._policy.tag)

    async def pending(self) -> int:
        """Return the number of messages without an embedding."""
        async with self._connection() as connection:
            return int((await self._jobs.count_jobs(connection))["pending"])

    async def _embedded(self, query: str) -> npt.NDArray[np.float32]:
        known = self._known.get(query)
        if known is None:
            known = self._known[query] = (await self.provider.embed_queries([query]))[0]
        return known

    @contextlib.asynccontextmanager
    async def _connection(self) -> AsyncIterator[_Direct]:
        connection = await self.pool.acquire()
        try:
            yield _Direct(connection)
        finally:
            await self.pool.release(connection)


router = APIRouter()


@router.get("/v1/memory/search", response_model=SearchAnswer)
async def search(parameters: Annotated[SearchParameters, Query()], request: Request) -> SearchAnswer:
    """Return the messages that matter most to a query."""
    return await _floor(request).search(parameters)


@router.post("/v1/messages", status_code=202, response_model=Message)
async def store(new: NewMessage, request: Request) -> Message:
    """Store a message."""
    (stored,) = await _floor(request).store([draft(new, None, datetime.now(UTC))])
    return stored


@router.post("/v1/messages/batch", status_code=202, response_model=FloorBatchAnswer)
async def store_batch(batch: FloorBatch, request: Request) -> FloorBatchAnswer:
    """Store many messages."""
    now = datetime.now(UTC)
    stored = await _floor(request).store([draft(new, None, now) for new in batch.messages])
    items = [FloorAccepted.model_construct(status=202, message=message) for message in stored]
    return FloorBatchAnswer(accepted=len(items), rejected=0, items=items)


@router.get("/v1/admin/health")
async def health(request: Request) -> dict[str, object]:
    """Return the part of the product's health that the bench reads."""
    return {"status": "ok", "pending_embeddings": await _floor(request).pending()}


def create_floor(settings: Settings, pool_size: int, *, drains: bool) -> FastAPI:
    """Return the application. `drains`: embed pending messages too, as the product's worker does."""

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        url = await asyncio.to_thread(database_url, settings)
        provider = create_provider(settings)
        async with contextlib.AsyncExitStack() as stack:
            app.state.floor = Floor(settings, await stack.enter_async_context(_pool(url, pool_size)), provider)
            if drains:
                await stack.enter_async_context(_draining(settings, url, provider))
            yield
        await provider.close()

    app = FastAPI(title="The floor", lifespan=lifespan)
    app.include_router(router)
    return app


def _floor(request: Request) -> Floor:
    floor: Floor = request.app.state.floor
    return floor


def _pool(url: str, size: int) -> Any:
    return asyncpg.create_pool(
        url, min_size=size, max_size=size, init=register_vector, reset=_keep_session, server_settings=SESSION
    )


async def _keep_session(_: asyncpg.Connection) -> None:
    """Do not reset the session, like the product: nothing changes its state."""


@contextlib.asynccontextmanager
async def _draining(settings: Settings, url: str, provider: EmbeddingProvider) -> AsyncIterator[None]:
    database = Database(url, settings.database, PoolSize(1, 2))
    worker = EmbeddingWorker(
        EmbeddingJobRepository(database),
        OneSpace(embedding_space(settings), provider),
        _scores,
        settings.embedding,
        batch_size=_DRAIN_BATCH,
        concurrency=1,
    )
    working = asyncio.create_task(worker.run())
    try:
        yield
    finally:
        working.cancel()
        await asyncio.wait([working])
        await database.close()


async def _scores(messages: Sequence[Scorable], _: Sequence[str]) -> list[float]:
    return [importance(role=m.role, content=m.content, name=m.name) for m in messages]


def main() -> None:
    """Serve until a signal arrives."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.floor", description=__doc__)
    parser.add_argument("--port", type=int, default=8100)
    parser.add_argument("--pool", type=int, default=8, help="connections to Postgres (8)")
    parser.add_argument("--drain", action="store_true", help="embed pending messages too; for use without the product")
    options = parser.parse_args()
    use_the_services_database()
    settings = Settings.load()
    prepare(settings)
    application = partial(create_floor, settings, options.pool, drains=options.drain)
    uvicorn.run(
        application,
        factory=True,
        port=options.port,
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="warning",
    )


if __name__ == "__main__":
    main()
