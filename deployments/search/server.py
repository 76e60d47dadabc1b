"""The search deployment."""

from collections.abc import Sequence
from typing import Any

from ray.serve.handle import DeploymentHandle

from deployments.batching import MicroBatcher
from deployments.capacity import SearchCapacity
from deployments.context_schemas import ContextAnswer
from deployments.embedding.providers.protocol import EmbeddingSpace, QueryVector
from deployments.errors import EmbeddingUnavailableError, MemoryLayerError, UnavailableError
from deployments.handles import RemoteMethod
from deployments.logs import configure_logging
from deployments.metrics.replica import ReplicaMetrics
from deployments.metrics.reporter import PUSH_TIMEOUT_SECONDS
from deployments.search.context_assembler import Context, ContextAssembler
from deployments.search.engine import Search, SearchEngine
from deployments.search.measures import SearchMeasures
from deployments.search_schemas import SearchAnswer
from deployments.settings import Settings
from deployments.storage.candidates import CandidateRepository
from deployments.storage.opening import open_database
from deployments.storage.recent_turns import RecentTurnRepository


class SearchServer:
    """One replica: a pool for reading, and the way to the embedding deployment."""

    async def __init__(  # type: ignore[misc]  # Serve awaits it
        self, capacity: SearchCapacity, embedding: DeploymentHandle[Any], metrics: DeploymentHandle[Any]
    ) -> None:
        settings = Settings.load().for_requests()
        configure_logging(settings.runtime, "Search")
        self._database = await open_database(settings, capacity.pool.size, reads_only=True)
        self._queries: MicroBatcher[tuple[str, str | None, EmbeddingSpace | None], QueryVector] = MicroBatcher(
            RemoteMethod(
                embedding,
                "embed_queries",
                EmbeddingUnavailableError,
                settings.search.embedding_timeout_seconds,
            ),
            max_batch=capacity.embed.size,
            slots=capacity.embed.slots,
            max_waiting=capacity.embed.waiting,
        )
        candidates = CandidateRepository(self._database, settings.search)
        self._metrics = ReplicaMetrics("Search", enabled=settings.runtime.metrics_enabled)
        self._metrics.watch_pool(self._database)
        self._metrics.watch_queue("embed", self._queries.waiting)
        measures = SearchMeasures(self._metrics.registry)
        self._engine = SearchEngine(candidates, self._embed, settings.search, measures)
        self._contexts = ContextAssembler(RecentTurnRepository(self._database), self._engine.search, measures)
        self._metrics.report(RemoteMethod(metrics, "push", UnavailableError, PUSH_TIMEOUT_SECONDS))

    async def search_many(self, searches: Sequence[Search]) -> list[SearchAnswer | MemoryLayerError]:
        """An answer or an error for each search, in order."""
        return await self._engine.search_many(searches)

    async def assemble_many(self, contexts: Sequence[Context]) -> list[ContextAnswer | MemoryLayerError]:
        """A context or an error for each that is asked for, in order."""
        return await self._contexts.assemble_many(contexts)

    async def _embed(self, text: str, request_id: str | None, space: EmbeddingSpace | None) -> QueryVector:
        return await self._queries.submit((text, request_id, space))

    async def __del__(self) -> None:
        self._metrics.stop()
        await self._database.close()
