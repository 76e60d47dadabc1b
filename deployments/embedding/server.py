"""The Embedding deployment: it embeds queries for searches, and processes the queue of embedding jobs."""

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Any

import structlog
from opentelemetry.trace import SpanContext, SpanKind
from ray.serve.handle import DeploymentHandle

from deployments.embedding.indexing_worker import IndexingWorker
from deployments.embedding.instruments import EmbeddingInstruments
from deployments.embedding.provider_probe import ProviderProbe
from deployments.embedding.pruner import CHANGES_SECONDS, EXPIRED_SECONDS, HISTORY_SECONDS, Pruner
from deployments.embedding.reanalysis_worker import ReanalysisWorker
from deployments.embedding.spaces import SpaceProviders
from deployments.embedding.worker import EmbeddingWorker, Score
from deployments.errors import EmbeddingError, UnavailableError
from deployments.runtime.capacity import EmbeddingCapacity
from deployments.runtime.database import open_database
from deployments.runtime.remote import RemoteMethod
from deployments.runtime.replica import Replica
from deployments.schemas.vectors import EmbeddingSpace, QueryVector
from deployments.scoring.crossing import calls
from deployments.scoring.scorable import Scorable
from deployments.settings import Settings
from deployments.storage.embeddings.jobs import EmbeddingJobRepository
from deployments.storage.embeddings.spaces import EmbeddingSpaceRepository
from deployments.storage.messages.expiry import ExpiryRepository
from deployments.storage.messages.history import MessageHistoryRepository
from deployments.storage.messages.reanalyses import ReanalysisRepository
from deployments.storage.search.large_tenants import LargeTenantRepository
from deployments.storage.search.message_changes import MessageChangeRepository
from deployments.storage.tenants.languages import default_languages
from deployments.tracing.spans import current_trace, each_served, note_error, span

logger = structlog.get_logger(__name__)

Query = tuple[str, str | None, EmbeddingSpace | None, SpanContext | None]


class EmbeddingServer(Replica):
    """One replica: a provider and a query cache for each embedding space, and a worker."""

    async def __init__(  # type: ignore[misc]  # Serve awaits it
        self, capacity: EmbeddingCapacity, scoring: DeploymentHandle[Any], metrics: DeploymentHandle[Any]
    ) -> None:
        settings = Settings.load()
        super().__init__("Embedding", settings)
        self._database = await open_database(settings, capacity.pool.size)
        self._metrics.watch_pool(self._database)
        instruments = EmbeddingInstruments(self._metrics.registry)
        self._spaces = SpaceProviders(
            EmbeddingSpaceRepository(self._database), settings, capacity.provider_requests, instruments
        )
        await self._spaces.start()
        worker = EmbeddingWorker(
            EmbeddingJobRepository(self._database),
            self._spaces,
            _traced(RemoteMethod(scoring, "score", UnavailableError, capacity.scoring_timeout_seconds)),
            settings.embedding,
            batch_size=capacity.batch,
            concurrency=capacity.concurrent_batches,
            instruments=instruments,
        )
        self._report_to(metrics)
        reanalyses = ReanalysisRepository(self._database, default_languages(settings.search))
        history = MessageHistoryRepository(self._database)
        pruners = (
            Pruner("changes", MessageChangeRepository(self._database).prune, CHANGES_SECONDS),
            Pruner("history", partial(history.prune, settings.runtime.history_days), HISTORY_SECONDS),
            Pruner("expired_messages", ExpiryRepository(self._database).delete_all, EXPIRED_SECONDS),
        )
        indexing = IndexingWorker(LargeTenantRepository(self._database, settings.search))
        self._working = asyncio.gather(
            worker.run(),
            self._spaces.run(),
            ReanalysisWorker(reanalyses).run(),
            indexing.run(),
            *(pruner.run() for pruner in pruners),
        )
        self._provider = ProviderProbe(self._spaces.ask)
        self.liveness.watch("embedding what waits", self._working)

    async def embed_queries(self, queries: Sequence[Query]) -> list[QueryVector | EmbeddingError]:
        """Return a vector or an error for each (text, request id, space, trace), in order. No space: the active one."""
        with each_served("Embedding.embed_query", [trace for _, _, _, trace in queries]) as spans:
            results = await self._spaces.embed_queries([(text, space) for text, _, space, _ in queries], spans)
            for each, result in zip(spans, results, strict=True):
                if isinstance(result, EmbeddingError):
                    note_error(result, each)
        request_ids = sorted({request_id for _, request_id, _, _ in queries if request_id})
        failed = sum(isinstance(result, EmbeddingError) for result in results)
        logger.debug("queries_embedded", count=len(results) - failed, failed=failed, request_ids=request_ids)
        return results

    async def probe(self) -> str | None:
        """Return a user-safe reason why embedding fails, or None. It is cached, since provider calls may cost money."""
        return self.liveness.problem() or await self._provider.problem()

    async def __del__(self) -> None:
        self._working.cancel()
        await asyncio.wait([self._working])
        await self._spaces.close()
        await self._database.close()
        await self._end()


def _traced(remote: RemoteMethod) -> Score:
    async def score(messages: Sequence[Scorable], request_ids: Sequence[str]) -> Sequence[float]:
        with span("score", SpanKind.CLIENT):
            scores: list[float] = []
            for some in calls(messages):
                scores += await remote(some, request_ids, current_trace())
        return scores

    return score
