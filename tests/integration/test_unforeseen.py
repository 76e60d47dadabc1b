"""What nobody foresaw, here a column that is gone, ends nothing that is to go on for as long as a replica lives."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any
from unittest.mock import MagicMock

import pytest
import structlog
from structlog.testing import capture_logs

from deployments.embedding import spaces as following
from deployments.embedding import worker as working
from deployments.embedding.spaces import OneSpace, SpaceProviders
from deployments.embedding.worker import EmbeddingWorker
from deployments.errors import EmbeddingError
from deployments.metrics import database_totals as reading
from deployments.metrics.database_totals import DatabaseTotalsCollector
from deployments.runtime.metrics.snapshot import take
from deployments.schemas.vectors import EmbeddingSpace
from deployments.search.recall.audit import RecallAudit
from deployments.search.server import SearchServer
from deployments.settings import Settings
from deployments.storage.tenants.totals import DatabaseTotalsRepository
from jobs.reembedding import running as reembedding
from tests.integration.calls import get, store
from tests.integration.failing import Slow
from tests.integration.polling import until
from tests.integration.postgres import SPACE
from tests.integration.service import Service, capacity, score
from tests.integration.tables import missing
from tests.integration.two_spaces import SMALL, TO_SMALL, replica, run


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """They look again at once."""
    monkeypatch.setattr(working, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(working, "PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(following, "REFRESH_SECONDS", 0.01)
    monkeypatch.setattr(reading, "READ_SECONDS", 0.01)


@asynccontextmanager
async def going_on(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """It runs during the block, and still does at its end."""
    running = asyncio.create_task(work)
    try:
        yield
        assert not running.done()
    finally:
        running.cancel()
        await asyncio.wait([running])


async def embedded(service: Service, message_id: str) -> None:
    async with asyncio.timeout(20):
        while (await get(service, message_id))["embedding_status"] != "completed":  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.01)


def logged(events: list[Any], name: str) -> Callable[[], bool]:
    return lambda: any(event["event"] == name for event in events)


async def test_the_worker_embeds_again_once_it_can(service: Service, database_url: str) -> None:
    with capture_logs() as events:
        async with going_on(service.worker.run()):
            async with missing(database_url, "embedding_jobs", "attempts"):
                stored = await store(service)
                await until(logged(events, "draining_broke"))
            await embedded(service, stored["id"])


async def test_the_worker_listens_again_once_it_can(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    listen = service.jobs.listen
    attempts = []

    async def broken_once() -> Any:
        attempts.append(1)
        if len(attempts) == 1:
            raise ZeroDivisionError
        return await listen()

    monkeypatch.setattr(service.jobs, "listen", broken_once)
    with capture_logs() as events:
        async with going_on(service.worker.run()):
            await until(lambda: len(attempts) == 2)
    assert logged(events, "listening_broke")()


async def test_a_claim_is_extended_again_once_it_can_be(
    service: Service, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider = Slow()
    changed = service.settings.embedding.model_copy(update={"lease_seconds": 3.0})
    worker = EmbeddingWorker(service.jobs, OneSpace(SPACE, provider), score, changed, batch_size=128, concurrency=1)
    extended: list[bool] = []
    extend = service.jobs.extend

    async def broken_once(*arguments: Any) -> None:
        extended.append(not extended)
        if len(extended) == 1:
            raise ZeroDivisionError
        await extend(*arguments)

    monkeypatch.setattr(service.jobs, "extend", broken_once)
    stored = await store(service)
    with capture_logs() as events:
        async with going_on(worker.run()):
            await until(lambda: len(extended) > 1)
            provider.answer.set()
            await embedded(service, stored["id"])
    assert logged(events, "claim_extension_broke")()


async def test_a_search_replica_whose_audit_has_stopped_is_replaced(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEMORY_METRICS_ENABLED", "false")
    monkeypatch.setattr(RecallAudit, "_run", broken)
    replica = EndedByHand.__new__(EndedByHand)
    await replica.__init__(capacity().search, MagicMock(), MagicMock())  # type: ignore[misc]  # as Serve does
    await until(lambda: replica.liveness.problem() is not None)

    assert await replica.probe() == "This replica has stopped auditing its searches."
    await SearchServer.__del__(replica)
    structlog.reset_defaults()


class EndedByHand(SearchServer):
    """What ends it is awaited."""

    def __del__(self) -> None:  # type: ignore[override]
        """Nothing is left to do."""


async def broken(*_: object) -> None:
    raise ZeroDivisionError


async def test_the_spaces_are_followed_again_once_they_can_be(
    settings: Settings, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reembedding, "KNOWN_SECONDS", 0.0)
    monkeypatch.setattr(reembedding, "TURN_SECONDS", 0.01)
    async with replica(settings) as service:
        assert isinstance(service.spaces, SpaceProviders)
        with capture_logs() as events:
            async with going_on(service.spaces.run()):
                async with missing(database_url, "embedding_space", "model"):
                    await until(logged(events, "spaces_not_followed"))
                assert await run(*TO_SMALL) == 0
                async with asyncio.timeout(20):
                    while await searched_space(service.spaces) != SMALL:  # noqa: ASYNC110 - it tells nobody
                        await asyncio.sleep(0.01)


async def searched_space(spaces: SpaceProviders) -> EmbeddingSpace:
    (vector,) = await spaces.embed_queries([("x", None)])
    assert not isinstance(vector, EmbeddingError)
    return vector.space


async def test_how_things_stand_is_read_again_once_it_can_be(service: Service, database_url: str) -> None:
    collector = DatabaseTotalsCollector(DatabaseTotalsRepository(service.database).read)
    with capture_logs() as events:
        async with going_on(collector.run()):
            await until(lambda: "tenants" in take(collector))
            async with missing(database_url, "erasures", "messages"):
                await until(logged(events, "totals_read_failed"))
                await until(lambda: take(collector) == {})
            await until(lambda: "tenants" in take(collector))
