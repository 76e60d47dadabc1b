"""What is measured of an embedding provider."""

from collections.abc import Sequence

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from deployments.embedding.measures import EmbeddingMeasures, MeasuredProvider
from deployments.embedding.providers.protocol import EmbeddingSpace, Vectors
from deployments.errors import EmbeddingRejectedError, EmbeddingUnavailableError
from deployments.metrics.snapshot import take


class Moody:
    """Fails with whatever it is set to."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.closed = False

    async def embed_documents(self, texts: Sequence[str]) -> Vectors:
        if self.error is not None:
            raise self.error
        return np.ones((len(texts), 1), dtype=np.float32)

    async def embed_queries(self, texts: Sequence[str]) -> Vectors:
        return await self.embed_documents(texts)

    async def close(self) -> None:
        self.closed = True


async def test_calls_that_work_are_timed_and_those_that_fail_are_counted_by_their_code() -> None:
    registry, moody = CollectorRegistry(), Moody()
    provider = MeasuredProvider(moody, EmbeddingMeasures(registry), EmbeddingSpace("moody", 2))
    assert len(await provider.embed_documents(["a", "b"])) == 2
    await provider.embed_queries(["a"])
    for moody.error in (
        EmbeddingUnavailableError("Away."),
        EmbeddingRejectedError("No."),
        EmbeddingRejectedError("No."),
    ):
        with pytest.raises(type(moody.error)):
            await provider.embed_documents(["a"])
    await provider.close()

    measured = take(registry)
    timed = measured["embedding_generation_duration_seconds"].values
    for purpose in ("documents", "queries"):
        assert timed["embedding_generation_duration_seconds_count", (("purpose", purpose),)] == 1
    assert {labels[1][1]: count for (_, labels), count in measured["embedding_provider_errors"].values.items()} == {
        "embedding_unavailable": 1,
        "embedding_rejected": 2,
    }
    assert moody.closed
