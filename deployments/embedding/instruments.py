"""Instruments of the Embedding deployment."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from time import perf_counter

from prometheus_client import CollectorRegistry, Counter, Histogram

from deployments.embedding.providers.protocol import EmbeddingProvider
from deployments.errors import EmbeddingError, EmbeddingUnavailableError
from deployments.schemas.vectors import EmbeddingSpace, Vectors
from deployments.tracing.spans import BATCH_SIZE, Attributes, span

DURATION_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
CLAIM_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)

PURPOSE = "memory_layer.purpose"
# The label of calls that check a provider, and the text that they embed.
PROBE, PROBE_TEXT = "probe", "ping"


class EmbeddingInstruments:
    """The instruments of one embedding replica. Without a registry they are not exported."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.durations = Histogram(
            "embedding_generation_duration_seconds",
            "Duration of successful calls to the provider, including its own retries, by purpose",
            ("purpose",),
            registry=registry,
            buckets=DURATION_BUCKETS,
        )
        # Pre-create the labels: alerts divide by this series, also when no call has ever succeeded.
        for purpose in ("documents", "queries"):
            self.durations.labels(purpose)
        self.errors = Counter(
            "embedding_provider_errors", "Calls to the provider that failed", ("purpose", "code"), registry=registry
        )
        self.retries = Counter("embedding_provider_retries", "Retried requests to the provider", registry=registry)
        self.queries = Counter(
            "embedding_cache_queries",
            "Queries: cached (hit), embedded (miss), or in flight for another caller (joined)",
            ("outcome",),
            registry=registry,
        )
        self.claims = Histogram(
            "embedding_claim_size", "Messages claimed at once", registry=registry, buckets=CLAIM_BUCKETS
        )
        self.messages = Counter(
            "embedding_messages",
            "Claimed messages: completed, postponed for a retry, or failed",
            ("outcome",),
            registry=registry,
        )


class MeasuredProvider:
    """A provider whose calls are measured and traced."""

    def __init__(self, provider: EmbeddingProvider, instruments: EmbeddingInstruments, space: EmbeddingSpace) -> None:
        self._provider = provider
        self._instruments = instruments
        self._attributes: Attributes = {
            "gen_ai.operation.name": "embeddings",
            "gen_ai.request.model": space.model,
            "gen_ai.embeddings.dimension.count": space.dimensions,
        }

    async def embed_documents(self, texts: Sequence[str], time_limit: float | None = None) -> Vectors:
        """Embed texts to be stored: shape (len(texts), dimensions), float32, rows of length 1.

        `time_limit`: seconds after which the call is cancelled and `EmbeddingUnavailableError` is raised.
        """
        return await self._measured("documents", self._provider.embed_documents, texts, time_limit)

    async def embed_queries(self, texts: Sequence[str]) -> Vectors:
        """Embed search queries: shape (len(texts), dimensions), float32, rows of length 1."""
        return await self._measured("queries", self._provider.embed_queries, texts)

    async def probe(self, time_limit: float | None = None) -> None:
        """Embed a word to check the provider. Raises `EmbeddingError`. `time_limit`: as for `embed_documents`."""
        await self._measured(PROBE, self._provider.embed_queries, [PROBE_TEXT], time_limit)

    async def close(self) -> None:
        """Release connections and threads."""
        await self._provider.close()

    async def _measured(
        self,
        purpose: str,
        embed: Callable[[Sequence[str]], Awaitable[Vectors]],
        texts: Sequence[str],
        time_limit: float | None = None,
    ) -> Vectors:
        started = perf_counter()
        try:
            with span("embeddings", attributes={**self._attributes, PURPOSE: purpose, BATCH_SIZE: len(texts)}):
                vectors = await _answered(embed(texts), time_limit)
        except EmbeddingError as error:
            self._instruments.errors.labels(purpose, error.code).inc()
            raise
        self._instruments.durations.labels(purpose).observe(perf_counter() - started)
        return vectors


async def _answered(call: Awaitable[Vectors], time_limit: float | None) -> Vectors:
    try:
        async with asyncio.timeout(time_limit):
            return await call
    except TimeoutError:
        raise EmbeddingUnavailableError("The embedding provider takes long to answer.") from None
