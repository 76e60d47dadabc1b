"""An idle worker leaves the database alone, and takes up what comes, what comes due, and what nobody told it of."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import pytest

from deployments.embedding import worker as working
from deployments.embedding.spaces import OneSpace
from deployments.embedding.worker import EmbeddingWorker
from deployments.errors import DatabaseUnavailableError, EmbeddingError, EmbeddingUnavailableError
from tests.integration.calls import get, store
from tests.integration.failing import Scripted
from tests.integration.polling import until_answered
from tests.integration.postgres import SPACE
from tests.integration.service import Service, score

NEVER = 3600.0


@asynccontextmanager
async def running(service: Service, *errors: EmbeddingError) -> AsyncIterator[None]:
    """A worker whose provider raises `errors` first."""
    settings = service.settings.embedding.model_copy(update={"retry_base_seconds": 0.01, "retry_max_seconds": 0.01})
    worker = EmbeddingWorker(
        service.jobs, OneSpace(SPACE, Scripted(*errors)), score, settings, batch_size=128, concurrency=2
    )
    task = asyncio.create_task(worker.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


@pytest.fixture
def looks(service: Service, monkeypatch: pytest.MonkeyPatch) -> list[float | None]:
    """What the worker was told each time when it asked when something will be due. It looks by itself never."""
    monkeypatch.setattr(working, "POLL_SECONDS", NEVER)
    answers: list[float | None] = []
    ask = service.jobs.seconds_until_due

    async def noted() -> float | None:
        answers.append(await ask())
        return answers[-1]

    monkeypatch.setattr(service.jobs, "seconds_until_due", noted)
    return answers


async def embedded(service: Service, message_id: str) -> None:
    async def done() -> bool:
        return bool((await get(service, message_id))["embedding_status"] == "completed")

    await until_answered(done)


async def asleep(looks: list[float | None], times: int) -> None:
    async def looked() -> bool:
        return len(looks) >= times

    await until_answered(looked)


async def test_a_message_wakes_it(service: Service, looks: list[float | None]) -> None:
    async with running(service):
        await asleep(looks, 2)
        assert set(looks) == {None}
        stored = await store(service)
        await embedded(service, stored["id"])


async def test_a_retry_that_comes_due_wakes_it(service: Service, looks: list[float | None]) -> None:
    stored = await store(service)
    async with running(service, EmbeddingUnavailableError("Busy.")):
        await embedded(service, stored["id"])


async def test_a_lease_that_runs_out_wakes_it(service: Service, looks: list[float | None]) -> None:
    stored = await store(service)
    await service.jobs.claim(uuid4(), 1, 0.5)
    async with running(service):
        await embedded(service, stored["id"])


async def test_a_message_that_nobody_told_it_of_is_found(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(working, "POLL_SECONDS", 0.01)

    async def deaf() -> Any:
        raise DatabaseUnavailableError("Away.")

    monkeypatch.setattr(service.jobs, "listen", deaf)
    async with running(service):
        stored = await store(service)
        await embedded(service, stored["id"])


async def test_what_came_while_nobody_listened_is_found(service: Service, looks: list[float | None]) -> None:
    listen, listens = service.jobs.listen, asyncio.Event()

    async def late() -> Any:
        await listens.wait()
        return await listen()

    service.jobs.listen = late  # type: ignore[method-assign]
    async with running(service):
        await asleep(looks, 2)
        stored = await store(service)
        listens.set()
        await embedded(service, stored["id"])
