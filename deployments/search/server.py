"""The search deployment."""

import asyncio
from typing import Any

from opentelemetry.trace import SpanContext, SpanKind
from ray import serve
from ray.serve.handle import DeploymentHandle

from deployments.embedding.local_queries import create_local_queries
from deployments.errors import EmbeddingUnavailableError
from deployments.runtime.call_bytes import CHARACTER_BYTES
from deployments.runtime.capacity import SearchCapacity
from deployments.runtime.database import open_database
from deployments.runtime.micro_batcher import MicroBatcher
from deployments.runtime.remote import RemoteMethod
from deployments.runtime.replica import Replica
from deployments.schemas.vectors import EmbeddingSpace, QueryVector
from deployments.search.answering import Answering
from deployments.search.context.assembler import ContextAssembler
from deployments.search.create import create_engine
from deployments.search.instruments import IndexInstruments, SearchInstruments
from deployments.search.recall.audit import RecallAudit
from deployments.search.recall.samples import RecallSamples
from deployments.search.reranking.stage import create_stage
from deployments.settings import Settings
from deployments.storage.messages.recent_turns import RecentTurnRepository
from deployments.storage.postgres.health import pool_problem
from deployments.tracing.spans import current_trace, span

Query = tuple[str, str | None, EmbeddingSpace | None, SpanContext | None]

# Bytes of a query's other fields, and of the vector of up to 4,000 dimensions that Embedding returns.
BYTES_BESIDES_TEXT = 20_000


class SearchServer(Replica, Answering):
    """One Search replica, with a read-only connection pool and a handle to the Embedding deployment."""

    async def __init__(  # type: ignore[misc]  # Serve awaits it
        self, capacity: SearchCapacity, embedding: DeploymentHandle[Any], metrics: DeploymentHandle[Any]
    ) -> None:
        settings = Settings.load().for_requests()
        super().__init__("Search", settings)
        self._database = await open_database(settings, capacity.pool.size, reads_only=True)
        self._queries: MicroBatcher[Query, QueryVector] = MicroBatcher(
            RemoteMethod(
                embedding,
                "embed_queries",
                EmbeddingUnavailableError,
                settings.search.embedding_timeout_seconds,
            ),
            max_batch=capacity.embed.size,
            slots=capacity.embed.slots,
            max_waiting=capacity.embed.waiting,
            size_of=query_bytes,
        )
        self._local = await asyncio.to_thread(create_local_queries, settings)
        self._metrics.watch_pool(self._database)
        self._metrics.watch_queue("embed", self._queries.waiting)
        instruments, samples = SearchInstruments(self._metrics.registry), RecallSamples()
        sampled = samples if settings.search.recall_audits_per_minute else None
        self._reranking = create_stage(settings.rerank, instruments)
        engine = create_engine(
            self._database,
            settings.search,
            self._embed,
            instruments,
            IndexInstruments(self._metrics.registry),
            sampled,
            self._reranking,
        )
        self._audit = RecallAudit(self._database, settings.search, instruments, samples)
        contexts = ContextAssembler(
            RecentTurnRepository(self._database), engine.search, engine.languages_of, instruments
        )
        Answering.__init__(self, engine, contexts)
        self._audit.start()
        self.liveness.watch("auditing its searches", self._audit.running)
        self._report_to(metrics)

    async def probe(self) -> str | None:
        """Return why searches fail on this replica, or None. Query the database over the pool that searches use."""
        return self.liveness.problem() or await pool_problem(self._database)

    async def name(self) -> str:
        """Return this replica's name for routers. A call that names another replica may reach this one."""
        return serve.get_replica_context().replica_id.unique_id

    async def _embed(self, text: str, request_id: str | None, space: EmbeddingSpace | None) -> QueryVector:
        if self._local is not None and self._local.serves(space):
            with span("embed"):
                return await self._local.embed(text)
        with span("embed", SpanKind.CLIENT):
            return await self._queries.submit((text, request_id, space, current_trace()))

    async def __del__(self) -> None:
        self._audit.stop()
        if self._reranking is not None:
            await self._reranking.close()
        if self._local is not None:
            await self._local.close()
        await self._database.close()
        await self._end()


def query_bytes(query: Query) -> int:
    """Return an upper bound for the bytes of a query sent to Embedding plus the vector that it returns."""
    return len(query[0]) * CHARACTER_BYTES + BYTES_BESIDES_TEXT
