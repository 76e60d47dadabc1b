"""What is measured of an embedding provider."""

import asyncio
from collections.abc import Sequence

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from deployments.embedding.instruments import EmbeddingInstruments, MeasuredProvider
from deployments.errors import EmbeddingRejectedError, EmbeddingUnavailableError
from deployments.runtime.metrics.snapshot import take
from deployments.schemas.vectors import EmbeddingSpace, Vectors


class Moody:
    """Fails with whatever it is set to, or does not answer."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.answers = asyncio.Event()
        self.answers.set()
        self.closed = False

    async def embed_documents(self, texts: Sequence[str]) -> Vectors:
        await self.answers.wait()
        if self.error is not None:
            raise self.error
        return np.ones((len(texts), 1), dtype=np.float32)

    async def embed_queries(self, texts: Sequence[str]) -> Vectors:
        return await self.embed_documents(texts)

    async def close(self) -> None:
        self.closed = True


def counted(registry: CollectorRegistry) -> dict[str, float]:
    """Calls that worked, of each purpose that had any."""
    values = take(registry)["embedding_generation_duration_seconds"].values
    return {labels[0][1]: count for (name, labels), count in values.items() if name.endswith("_count") and count}


def failed(registry: CollectorRegistry) -> dict[tuple[str, str], float]:
    """Calls that failed, by code and purpose."""
    values = take(registry)["embedding_provider_errors"].values
    return {(dict(labels)["code"], dict(labels)["purpose"]): count for (_, labels), count in values.items()}


async def test_what_only_asks_whether_it_works_is_told_apart() -> None:
    registry, moody = CollectorRegistry(), Moody()
    provider = MeasuredProvider(moody, EmbeddingInstruments(registry), EmbeddingSpace("moody", 2))
    await provider.probe()
    moody.error = EmbeddingUnavailableError("Away.")
    with pytest.raises(EmbeddingUnavailableError, match="Away"):
        await provider.probe()

    assert counted(registry) == {"probe": 1}
    assert failed(registry) == {("embedding_unavailable", "probe"): 1}


async def test_a_call_that_is_given_up_is_one_that_failed() -> None:
    registry, moody = CollectorRegistry(), Moody()
    provider = MeasuredProvider(moody, EmbeddingInstruments(registry), EmbeddingSpace("moody", 2))
    moody.answers.clear()
    for call in (provider.embed_documents(["a"], 0.01), provider.probe(0.01)):
        with pytest.raises(EmbeddingUnavailableError, match="takes long"):
            await call

    assert counted(registry) == {}
    assert failed(registry) == {("embedding_unavailable", "documents"): 1, ("embedding_unavailable", "probe"): 1}


async def test_a_call_that_its_caller_leaves_has_neither_worked_nor_failed() -> None:
    registry, moody = CollectorRegistry(), Moody()
    provider = MeasuredProvider(moody, EmbeddingInstruments(registry), EmbeddingSpace("moody", 2))
    moody.answers.clear()
    call = asyncio.create_task(provider.embed_documents(["a"], 60))
    await asyncio.sleep(0)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call

    assert (counted(registry), failed(registry)) == ({}, {})


async def test_calls_that_work_are_timed_and_those_that_fail_are_counted_by_their_code() -> None:
    registry, moody = CollectorRegistry(), Moody()
    provider = MeasuredProvider(moody, EmbeddingInstruments(registry), EmbeddingSpace("moody", 2))
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


async def test_that_no_call_has_worked_yet_is_told_from_the_start() -> None:
    registry = CollectorRegistry()
    EmbeddingInstruments(registry)

    timed = take(registry)["embedding_generation_duration_seconds"].values
    for purpose in ("documents", "queries"):
        assert timed["embedding_generation_duration_seconds_count", (("purpose", purpose),)] == 0
