"""Over capacity the service says so at once: it answers 503 and never queues without end."""

import asyncio
from dataclasses import replace

import httpx
import pytest

from deployments.runtime.micro_batcher import MicroBatcher
from deployments.settings import Settings
from tests.integration.calls import error_of, message
from tests.integration.service import Service
from tests.integration.tables import locked, until

IN_LINE = 10
TOO_MANY = 20
# Long enough for a busy machine to open a pool's connections.
CONNECT_SECONDS = 3
# Less than a request may take, and the lock is held for longer.
AT_ONCE_SECONDS = 20


@pytest.fixture
def settings(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A pool that is soon given up on."""
    monkeypatch.setenv("MEMORY_DATABASE_CONNECT_TIMEOUT_SECONDS", str(CONNECT_SECONDS))
    return Settings.load()


async def first_done(calls: list[asyncio.Task[httpx.Response]], count: int) -> list[httpx.Response]:
    """The answers that come first, while the others wait."""
    async with asyncio.timeout(AT_ONCE_SECONDS):
        while len(done := [call.result() for call in calls if call.done()]) < count:
            await asyncio.wait([call for call in calls if not call.done()], return_when=asyncio.FIRST_COMPLETED)
    return done


def assert_overloaded(answers: list[httpx.Response]) -> None:
    for answer in answers:
        assert (answer.status_code, error_of(answer)["code"]) == (503, "overloaded"), answer.text
        assert int(answer.headers["Retry-After"]) >= 1


async def test_stores_beyond_the_line_are_refused_at_once_and_the_line_is_served(
    service: Service, database_url: str
) -> None:
    services = service.app.state.services
    batcher = MicroBatcher(services.messages.store, max_batch=1, slots=1, max_waiting=IN_LINE)
    service.app.state.services = replace(services, store=batcher.submit)

    async with locked(database_url) as lock:
        under_way = asyncio.create_task(service.client.post("/v1/messages", json=message()))
        await until(lambda count: count == 1, lock)
        calls = [
            asyncio.create_task(service.client.post("/v1/messages", json=message())) for _ in range(IN_LINE + TOO_MANY)
        ]
        refused = await first_done(calls, TOO_MANY)
        assert_overloaded(refused)
        assert (len(refused), under_way.done()) == (TOO_MANY, False)

    statuses = [answer.status_code for answer in await asyncio.gather(under_way, *calls)]
    assert (statuses.count(202), statuses.count(503)) == (1 + IN_LINE, TOO_MANY)


async def test_requests_beyond_the_pool_are_refused_when_no_connection_comes_free(
    service: Service, database_url: str
) -> None:
    async with locked(database_url):
        calls = [asyncio.create_task(service.client.get("/v1/messages?tenant_id=acme")) for _ in range(TOO_MANY)]
        refused = await first_done(calls, TOO_MANY - 6)
        assert_overloaded(refused)

    statuses = [answer.status_code for answer in await asyncio.gather(*calls)]
    assert (statuses.count(200), statuses.count(503)) == (6, TOO_MANY - 6)
