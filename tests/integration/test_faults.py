"""Postgres is gone, for a while: nothing acknowledged is lost, and no restart is needed."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from uuid import uuid4

import httpx
import psutil
import pytest

from deployments.errors import DatabaseUnavailableError
from deployments.metrics.database_totals import DatabaseTotalsCollector
from deployments.runtime import health
from deployments.runtime.database import open_database
from deployments.runtime.metrics.snapshot import take
from deployments.schemas.retention import RetentionRequest
from deployments.settings import Settings
from deployments.storage.postgres.database import PoolSize
from deployments.storage.tenants.totals import DatabaseTotalsRepository
from tests.integration.calls import error_of, message, search, store
from tests.integration.postgres import PostgresServer
from tests.integration.retaining import aged, all_counts_hold, gate_closed, reached, retention_of
from tests.integration.service import Service


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    """A server of its own, so that no other test is disturbed when it stops."""
    with tempfile.TemporaryDirectory(prefix="ml-fault-") as directory:
        server = PostgresServer(Path(directory))
        yield server
        server.stop()


@pytest.fixture
async def gone(postgres: PostgresServer) -> AsyncIterator[PostgresServer]:
    """The server, for tests that stop it. It runs again when the test ends."""
    yield postgres
    await asyncio.to_thread(postgres.start)


async def until(status: int, call: Callable[[], Awaitable[httpx.Response]]) -> httpx.Response:
    """The first answer of that status; all before it said that the database is away."""
    async with asyncio.timeout(20):
        while (answer := await call()).status_code != status:
            assert answer.status_code == 503, answer.text
            await asyncio.sleep(0.02)
    return answer


CALLS = [
    ("POST", "/v1/messages", message()),
    ("POST", "/v1/messages/batch", {"messages": [message()]}),
    ("GET", f"/v1/messages/{uuid4()}", None),
    ("PATCH", f"/v1/messages/{uuid4()}", {"content": "new"}),
    ("DELETE", f"/v1/messages/{uuid4()}", None),
    ("POST", f"/v1/messages/{uuid4()}/retry", None),
    ("GET", "/v1/messages?tenant_id=acme", None),
    ("GET", "/v1/memory/search?tenant_id=acme&query=x", None),
    ("POST", "/v1/memory/search", {"tenant_id": "acme", "query": "x"}),
    ("GET", "/v1/conversations?tenant_id=acme", None),
    ("GET", "/v1/conversations/c1?tenant_id=acme", None),
    ("DELETE", "/v1/conversations/c1?tenant_id=acme", None),
    ("POST", "/v1/admin/embeddings/retry", {}),
    ("POST", "/v1/admin/retention/run", {"dry_run": True}),
    ("GET", "/v1/admin/retention/runs", None),
    ("GET", f"/v1/admin/retention/runs/{uuid4()}", None),
    ("POST", f"/v1/admin/retention/runs/{uuid4()}/undo", None),
    ("GET", "/v1/admin/tenants/acme/retention", None),
    ("PUT", "/v1/admin/tenants/acme/retention", {}),
    ("DELETE", "/v1/admin/tenants/acme/retention", None),
]


async def assert_every_call_says_so(service: Service) -> None:
    for method, path, body in CALLS:
        answer = await service.client.request(method, path, json=body)
        assert answer.status_code == 503, (method, path, answer.text)
        assert int(answer.headers["Retry-After"]) >= 1
        assert error_of(answer)["code"] == "database_unavailable"
    keyed = await service.client.post("/v1/messages", json=message(), headers={"Idempotency-Key": "k"})
    assert (keyed.status_code, error_of(keyed)["code"]) == (503, "database_unavailable")


async def assert_health_says_so(service: Service) -> None:
    health = await service.client.get("/v1/admin/health")
    readiness = await service.client.get("/v1/admin/readiness")
    liveness = await service.client.get("/v1/admin/liveness")

    assert (health.status_code, readiness.status_code, liveness.status_code) == (503, 503, 200)
    body = health.json()
    assert (body["status"], body["database"], body["embedding"]) == ("unavailable", "unavailable", "ok")
    assert body["pending_embeddings"] is None
    assert len(body["problems"]) == 1
    assert readiness.json() == {"status": "unavailable", "problems": body["problems"]}
    assert liveness.json() == {"status": "ok", "problems": []}


async def test_a_database_that_stops_in_mid_flight_and_comes_back(service: Service, gone: PostgresServer) -> None:
    stored = await store(service, "apples")
    await search(service, "apples")

    await asyncio.to_thread(gone.stop)
    await assert_every_call_says_so(service)
    await assert_health_says_so(service)
    await asyncio.to_thread(gone.start)

    read = await until(200, lambda: service.client.get(f"/v1/messages/{stored['id']}"))
    assert read.json() == stored
    await until(202, lambda: service.client.post("/v1/messages", json=message("cherries")))
    await until(200, lambda: service.client.get("/v1/admin/readiness"))
    assert (await search(service, "cherries"))["items"][0]["content"] == "cherries"


async def test_a_database_that_hangs_makes_nobody_wait_for_long(
    service: Service, gone: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes connections, and says nothing more: health is late, and says so."""
    monkeypatch.setattr(health, "CHECK_TIMEOUT_SECONDS", 0.5)
    await store(service)
    processes = postmaster_and_children(gone)
    for process in processes:
        process.suspend()
    try:
        async with asyncio.timeout(20):
            answer = await service.client.get("/v1/admin/health")
            liveness = await service.client.get("/v1/admin/liveness")
    finally:
        for process in reversed(processes):
            process.resume()

    assert (answer.status_code, liveness.status_code) == (503, 200)
    assert "The database does not answer in time." in answer.json()["problems"]
    await until(200, lambda: service.client.get("/v1/admin/readiness"))


def postmaster_and_children(server: PostgresServer) -> list[psutil.Process]:
    pid = int((server.directory / "postgres" / "postmaster.pid").read_text().splitlines()[0])
    postmaster = psutil.Process(pid)
    return [postmaster, *postmaster.children()]


async def test_a_database_that_is_gone_at_the_start(service: Service, gone: PostgresServer) -> None:
    await asyncio.to_thread(gone.stop)
    await assert_every_call_says_so(service)
    await assert_health_says_so(service)

    await asyncio.to_thread(gone.start)

    await until(202, lambda: service.client.post("/v1/messages", json=message("cherries")))


async def test_a_replica_starts_without_its_database_and_finds_it_later(
    settings: Settings, gone: PostgresServer
) -> None:
    await asyncio.to_thread(gone.stop)
    database = await open_database(settings, PoolSize(1, 2))
    with pytest.raises(DatabaseUnavailableError):
        async with database.connection():
            pass
    await asyncio.to_thread(gone.start)

    async with asyncio.timeout(20):
        while True:
            try:
                async with database.connection() as connection:
                    assert await connection.fetchval("SELECT count(*) FROM messages") == 0
            except DatabaseUnavailableError:
                await asyncio.sleep(0.02)
            else:
                break
    await database.close()


async def test_what_was_acknowledged_while_the_database_stopped_is_there(
    service: Service, gone: PostgresServer
) -> None:
    acknowledged: list[str] = []
    refused = asyncio.Event()

    async def caller() -> None:
        while not refused.is_set():
            answer = await service.client.post("/v1/messages", json=message())
            if answer.status_code == 202:
                acknowledged.append(answer.json()["id"])
            else:
                refused.set()
                assert answer.status_code == 503, answer.text
                assert error_of(answer)["code"] == "database_unavailable"

    callers = asyncio.gather(*(caller() for _ in range(8)))
    async with asyncio.timeout(20):
        while len(acknowledged) < 50:  # noqa: ASYNC110 - Postgres sets no event
            await asyncio.sleep(0.001)
    await asyncio.to_thread(gone.stop)
    await callers
    await asyncio.to_thread(gone.start)

    await until(200, lambda: service.client.get("/v1/admin/readiness"))
    async with service.database.connection() as connection:
        rows = await connection.fetch("SELECT id FROM messages JOIN embedding_jobs ON message_id = id")
    assert set(acknowledged) <= {str(row["id"]) for row in rows}


async def test_a_running_worker_outlives_its_database(service: Service, gone: PostgresServer) -> None:
    await store(service, "first")
    running = asyncio.create_task(service.worker.run())
    try:
        await nothing_pending(service)
        await asyncio.to_thread(gone.stop)
        with pytest.raises(DatabaseUnavailableError):
            await service.jobs.counts()
        await asyncio.to_thread(gone.start)
        await until(202, lambda: service.client.post("/v1/messages", json=message("second")))
        await nothing_pending(service)
        assert not running.done()
    finally:
        running.cancel()
        await asyncio.wait([running])


async def test_a_retention_run_outlives_its_database(service: Service, gone: PostgresServer) -> None:
    """Stopped for good in the middle of the second batch, it goes on behind the first."""
    await aged(service, 20, importance=0.9)
    await aged(service, 7)
    async with retention_of(service.settings) as (runs, runner):
        run_id = await runs.create(RetentionRequest(dry_run=False), "test")
        async with gate_closed(service, "archiving") as connection:
            finishing = asyncio.create_task(runner.finish(run_id))
            await reached(connection)
            await asyncio.to_thread(gone.stop)
        assert not finishing.done()
        await asyncio.to_thread(gone.start)
        await asyncio.wait_for(finishing, 20)
        run = await runs.get(run_id)

    assert (run.status, run.archived, run.skipped) == ("completed", 7, 0)
    await all_counts_hold(service)


async def test_a_retention_run_whose_database_stays_away_is_left_to_be_resumed(
    service: Service, gone: PostgresServer
) -> None:
    async with retention_of(service.settings, deadline_seconds=0) as (runs, runner):
        run_id = await runs.create(RetentionRequest(dry_run=True), "test")
        await asyncio.to_thread(gone.stop)
        with pytest.raises(DatabaseUnavailableError):
            await runner.finish(run_id)
        await asyncio.to_thread(gone.start)
        await until(200, lambda: service.client.get("/v1/admin/readiness"))

        await runner.finish(run_id)
        assert (await runs.get(run_id)).status == "completed"


async def nothing_pending(service: Service) -> None:
    async with asyncio.timeout(20):
        while (await service.jobs.counts()).pending:  # noqa: ASYNC110 - Postgres sets no event
            await asyncio.sleep(0.02)


async def test_the_service_recovers_when_all_its_connections_are_killed(service: Service) -> None:
    await asyncio.gather(*(store(service) for _ in range(10)))
    database = service.database
    own = await database.connect()
    try:
        killed = await own.fetch(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    finally:
        await own.close()
    assert len(killed) >= 1

    for _ in range(10):
        await until(202, lambda: service.client.post("/v1/messages", json=message()))
    async with database.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM messages") == 20


async def test_a_connection_killed_under_a_search_is_a_503(service: Service) -> None:
    """Held by a lock while it is killed, so that it is certainly under way."""
    await store(service, "apples")
    blocker = await service.database.connect()
    try:
        async with blocker.transaction():
            await blocker.execute("LOCK TABLE messages IN ACCESS EXCLUSIVE MODE")
            call = service.client.post("/v1/memory/search", json={"tenant_id": "acme", "query": "apples"})
            searching = asyncio.create_task(call)
            async with asyncio.timeout(20):
                while not await blocker.fetchval(  # noqa: ASYNC110 - Postgres sets no event
                    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND wait_event_type = 'Lock'"
                ):
                    await asyncio.sleep(0.01)
            answer = await searching
    finally:
        await blocker.close()

    assert (answer.status_code, error_of(answer)["code"]) == (503, "database_unavailable")
    assert (await search(service, "apples"))["total"] == 1
    assert 'memory_searches_total{outcome="failed"} 1.0' in (await service.client.get("/metrics")).text


async def test_metrics_go_on_without_what_only_postgres_knows(service: Service, gone: PostgresServer) -> None:
    standing = DatabaseTotalsCollector(DatabaseTotalsRepository(service.database).read)
    await standing.read_once()
    assert "tenants" in take(standing)
    await asyncio.to_thread(gone.stop)
    await standing.read_once()
    assert take(standing) == {}

    answer = await service.client.post("/v1/memory/search", json={"tenant_id": "acme", "query": "x"})
    assert answer.status_code == 503
    metrics = await service.client.get("/metrics")
    assert metrics.status_code == 200
    assert 'status="503"} 1.0' in metrics.text
