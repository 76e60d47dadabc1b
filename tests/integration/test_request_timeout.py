"""A request that takes too long is answered, and nothing of it goes on in Postgres."""

import asyncio

import httpx
import pytest

from deployments.settings import CANCELLATION_GRACE_SECONDS, Settings
from tests.integration.calls import error_of, message, store
from tests.integration.polling import until_answered
from tests.integration.service import Service
from tests.integration.tables import locked, until

# Quick to reach, and more than any of the calls takes on a machine that is busy.
SECONDS = 2.0


@pytest.fixture
def settings(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A limit that is quick to reach; without one on statements, which would end them as well."""
    monkeypatch.setenv("MEMORY_REQUEST_TIMEOUT_SECONDS", str(SECONDS))
    return Settings.load()


def assert_timed_out(answer: httpx.Response) -> None:
    assert answer.status_code == 504, answer.text
    assert error_of(answer)["code"] == "timeout"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


CALLS = [
    ("POST", "/v1/messages", message()),
    ("POST", "/v1/messages/batch", {"messages": [message()]}),
    ("GET", "/v1/messages?tenant_id=acme", None),
    ("GET", "/v1/memory/search?tenant_id=acme&query=x", None),
    ("POST", "/v1/memory/context", {"tenant_id": "acme", "conversation_id": "c1", "query": "x"}),
    ("DELETE", "/v1/conversations/c1?tenant_id=acme", None),
]


@pytest.mark.parametrize(("method", "path", "body"), CALLS, ids=[f"{method} {path}" for method, path, _ in CALLS])
async def test_it_is_answered_and_its_statement_cancelled(
    service: Service, database_url: str, method: str, path: str, body: object
) -> None:
    async with locked(database_url) as lock:
        call = asyncio.create_task(service.client.request(method, path, json=body))
        await until(lambda count: count > 0, lock)

        assert_timed_out(await call)
        await until(lambda count: count == 0, lock)

    assert (await service.client.request(method, path, json=body)).status_code < 300 or method == "DELETE"


async def test_what_is_given_up_is_counted_as_such(service: Service, database_url: str) -> None:
    async with locked(database_url):
        answers = await asyncio.gather(
            service.client.get("/v1/memory/search?tenant_id=acme&query=x"),
            service.client.post("/v1/memory/context", json={"tenant_id": "acme", "conversation_id": "c1"}),
        )

    async def counted() -> bool:
        """The answer goes out when the time is up; the search is counted once Postgres has cancelled its statement."""
        metrics = (await service.client.get("/metrics")).text
        assert 'outcome="failed"} 1.0' not in metrics
        return all(f'memory_{each}_total{{outcome="given_up"}} 1.0' in metrics for each in ("searches", "contexts"))

    assert {answer.status_code for answer in answers} == {504}
    await until_answered(counted)


async def test_a_connection_that_was_cancelled_on_serves_the_next(service: Service, database_url: str) -> None:
    async with locked(database_url):
        answers = await asyncio.gather(*(service.client.get("/v1/messages?tenant_id=acme") for _ in range(6)))

    assert {answer.status_code for answer in answers} == {504}
    assert [(await store(service, f"apple {n}"))["content"] for n in range(6)] == [f"apple {n}" for n in range(6)]


async def test_a_batch_goes_on_for_those_who_still_wait(service: Service, database_url: str) -> None:
    """Two stores that came half of the limit apart share one commit; the lock goes when the first has run out."""
    async with locked(database_url) as lock:
        held = []
        for slot in (1, 2):
            held.append(asyncio.create_task(service.client.post("/v1/messages", json=message())))
            await until(slot.__eq__, lock)
        first = asyncio.create_task(service.client.post("/v1/messages", json=message("first")))
        await asyncio.sleep(SECONDS / 2)
        second = asyncio.create_task(service.client.post("/v1/messages", json=message("second")))
        # Both slots are free once those that hold them have run out: first and second go as one batch.
        for each in (*held, first):
            assert_timed_out(await each)

    answer = await second
    assert (answer.status_code, answer.json().get("content")) == (202, "second")


async def test_a_request_in_time_is_not_touched(service: Service) -> None:
    assert (await store(service, "apple"))["content"] == "apple"
    assert (await service.client.get("/v1/admin/health")).status_code == 200


def test_no_statement_for_a_request_outlives_it_for_long(settings: Settings) -> None:
    assert settings.database.statement_timeout_seconds == 30
    assert settings.for_requests().database.statement_timeout_seconds == SECONDS + CANCELLATION_GRACE_SECONDS
