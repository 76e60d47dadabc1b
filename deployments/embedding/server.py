"""The embedding deployment: embeds queries for the searches, and drains the messages that wait."""

import asyncio
from collections.abc import Sequence
from time import monotonic
from typing import Any

import structlog
from opentelemetry.trace import SpanContext, SpanKind
from ray.serve.handle import DeploymentHandle

from deployments.capacity import EmbeddingCapacity
from deployments.embedding.measures import EmbeddingMeasures
from deployments.embedding.providers.protocol import EmbeddingSpace, QueryVector
from deployments.embedding.spaces import SpaceProviders
from deployments.embedding.worker import EmbeddingWorker, Score
from deployments.errors import EmbeddingError, UnavailableError
from deployments.handles import RemoteMethod
from deployments.logs import configure_logging
from deployments.metrics.replica import ReplicaMetrics
from deployments.metrics.reporter import PUSH_TIMEOUT_SECONDS
from deployments.scoring.scorable import Scorable
from deployments.settings import Settings
from deployments.storage.embedding_jobs import EmbeddingJobRepository
from deployments.storage.embedding_spaces import EmbeddingSpaceRepository
from deployments.storage.opening import open_database
from deployments.tracing.exporting import start_tracing
from deployments.tracing.spans import current_trace, each_served, note_error, span

logger = structlog.get_logger(__name__)

PROBE_SECONDS = 10.0
PROBE_PATIENCE_SECONDS = 2.0

Query = tuple[str, str | None, EmbeddingSpace | None, SpanContext | None]


class EmbeddingServer:
    """One replica: a provider for each embedding space, caches of queries, and a worker."""

    async def __init__(  # type: ignore[misc]  # Serve awaits it
        self, capacity: EmbeddingCapacity, scoring: DeploymentHandle[Any], metrics: DeploymentHandle[Any]
    ) -> None:
        settings = Settings.load()
        configure_logging(settings.runtime, "Embedding")
        self._tracing = start_tracing("Embedding")
        self._database = await open_database(settings, capacity.pool.size)
        self._metrics = ReplicaMetrics("Embedding", enabled=settings.runtime.metrics_enabled)
        self._metrics.watch_pool(self._database)
        measures = EmbeddingMeasures(self._metrics.registry)
        self._spaces = SpaceProviders(
            EmbeddingSpaceRepository(self._database), settings, capacity.provider_requests, measures
        )
        await self._spaces.start()
        worker = EmbeddingWorker(
            EmbeddingJobRepository(self._database),
            self._spaces,
            _traced(RemoteMethod(scoring, "score", UnavailableError, capacity.scoring_timeout_seconds)),
            settings.embedding,
            batch_size=capacity.batch,
            concurrency=capacity.concurrent_batches,
            measures=measures,
        )
        self._metrics.report(RemoteMethod(metrics, "push", UnavailableError, PUSH_TIMEOUT_SECONDS))
        self._working = asyncio.gather(worker.run(), self._spaces.run())
        self._probing: asyncio.Task[None] | None = None
        self._probe_due = 0.0
        self._trouble: str | None = None

    async def embed_queries(self, queries: Sequence[Query]) -> list[QueryVector | EmbeddingError]:
        """A vector or an error for each (text, request id, space or None for the active one, trace), in order."""
        with each_served("Embedding.embed_query", [trace for _, _, _, trace in queries]) as spans:
            results = await self._spaces.embed_queries([(text, space) for text, _, space, _ in queries], spans)
            for each, result in zip(spans, results, strict=True):
                if isinstance(result, EmbeddingError):
                    note_error(result, each)
        request_ids = sorted({request_id for _, request_id, _, _ in queries if request_id})
        failed = sum(isinstance(result, EmbeddingError) for result in results)
        logger.info("queries_embedded", count=len(results) - failed, failed=failed, request_ids=request_ids)
        return results

    async def probe(self) -> str | None:
        """Why the provider cannot embed, or None if it can. Asks it at most every ten seconds: calls may cost."""
        if self._probing is None or (self._probing.done() and monotonic() >= self._probe_due):
            self._probing = asyncio.create_task(self._ask_provider())
        done, _ = await asyncio.wait([self._probing], timeout=PROBE_PATIENCE_SECONDS)
        return self._trouble if done else self._trouble or "The embedding provider takes long to answer."

    async def _ask_provider(self) -> None:
        """In a task of its own: with the provider's retries it takes longer than those who ask have time."""
        try:
            await self._spaces.ask()
            self._trouble = None
        except EmbeddingError as error:
            self._trouble = error.message
        self._probe_due = monotonic() + PROBE_SECONDS

    async def check_health(self) -> None:
        """Called by Serve. A replica whose worker died is replaced."""
        if self._working.done():
            self._working.result()
            raise RuntimeError("the embedding worker has stopped")

    async def __del__(self) -> None:
        self._metrics.stop()
        self._working.cancel()
        await asyncio.wait([self._working])
        await self._spaces.close()
        await self._database.close()
        await self._tracing.stop()


def _traced(remote: RemoteMethod) -> Score:
    async def score(messages: Sequence[Scorable], request_ids: Sequence[str]) -> Sequence[float]:
        with span("score", SpanKind.CLIENT):
            scores: Sequence[float] = await remote(messages, request_ids, current_trace())
        return scores

    return score
