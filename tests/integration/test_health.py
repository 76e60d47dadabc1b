"""What health, readiness and liveness tell of each fault, made for real."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from pydantic import SecretStr

from deployments.embedding.providers.protocol import EmbeddingProvider
from deployments.embedding_space import space_source
from deployments.errors import DatabaseUnavailableError, UnavailableError
from deployments.rate_limits.redis_counter import RedisCounter
from deployments.runtime import health as checks
from deployments.settings import Settings
from deployments.storage.postgres import health as storage_health
from deployments.storage.postgres.database import Database, PoolSize
from serve_app import health
from serve_app.health import Probes
from tests.integration.calls import store
from tests.integration.polling import until_answered
from tests.integration.service import Service, create_service, well
from tests.redis_server import running_redis

Json = dict[str, Any]

WELL = Probes(search=well, embedding=well, scoring=well, rate_limits=well, metrics=well)
Serving = Callable[..., Any]


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is well answers in time on a busy machine too."""
    monkeypatch.setattr(checks, "CHECK_TIMEOUT_SECONDS", 30.0)
    monkeypatch.setattr(storage_health, "TIMEOUT_SECONDS", 20.0)


@pytest.fixture
def serving(settings: Settings, provider: EmbeddingProvider) -> Serving:
    """A service beside whose replicas others are as the test says."""

    @asynccontextmanager
    async def serve(**probes: Any) -> AsyncIterator[Service]:
        async with create_service(settings, provider, probes=replace(WELL, **probes)) as service:
            yield service

    return serve


async def told(service: Service) -> tuple[int, Json]:
    answer = await service.client.get("/v1/admin/health")
    return answer.status_code, answer.json()


def wrong(body: Json) -> dict[str, str]:
    """The parts that are not well, and what is said of them."""
    return {part["name"]: part["problem"] for part in body["parts"] if part["status"] != "ok"}


async def ready(service: Service) -> tuple[int, str]:
    answer = await service.client.get("/v1/admin/readiness")
    return answer.status_code, answer.json()["status"]


async def execute(settings: Settings, statement: str) -> None:
    assert settings.database.url is not None
    connection = await asyncpg.connect(settings.database.url.get_secret_value())
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


async def test_every_part_is_told_of_with_its_latency(service: Service) -> None:
    status, body = await told(service)

    assert (status, body["status"], body["problems"], wrong(body)) == (200, "ok", [], {})
    assert {part["name"] for part in body["parts"]} == {
        "database", "pool", "backlog", "embedding", "search", "scoring", "rate_limits", "metrics",
    }  # fmt: skip
    assert all(part["latency_ms"] >= 0 for part in body["parts"])
    assert body["latency_ms"] == max(part["latency_ms"] for part in body["parts"])


@pytest.mark.parametrize(
    ("revision", "advice"), [("0001", "alembic upgrade head"), ("9999", "a newer version has migrated it")]
)
async def test_another_schema_is_not_ready(service: Service, settings: Settings, revision: str, advice: str) -> None:
    await execute(settings, f"UPDATE alembic_version SET version_num = '{revision}'")  # noqa: S608 - a constant

    status, body = await told(service)

    assert (status, body["status"], body["database"]) == (503, "unavailable", "unavailable")
    assert advice in wrong(body)["database"]
    assert await ready(service) == (503, "unavailable")


async def test_a_database_that_takes_no_writes_is_not_ready(service: Service, settings: Settings) -> None:
    """As after a failover, when the address still leads to the old primary."""
    read_only = "format('ALTER DATABASE %I SET default_transaction_read_only = on', current_database())"
    await execute(settings, f"DO $$BEGIN EXECUTE {read_only}; END$$")

    assert "takes no writes" in wrong((await told(service))[1])["database"]
    assert await ready(service) == (503, "unavailable")


async def test_a_database_that_refuses_the_user_is_away(
    service: Service, settings: Settings, provider: EmbeddingProvider
) -> None:
    assert settings.database.url is not None
    stranger = settings.database.url.get_secret_value().replace("postgres@", "stranger:hunter2@")
    database = settings.database.model_copy(update={"url": SecretStr(stranger)})
    async with create_service(replace(settings, database=database), provider) as refused:
        status, body = await told(refused)

    assert (status, wrong(body)["database"]) == (503, "The database cannot be reached just now.")
    assert "hunter2" not in str(body)


async def test_a_database_that_is_full_while_requests_share_what_is_open_is_degraded(
    settings: Settings, provider: EmbeddingProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As at `max_connections`: to take this replica out of the load balancer would only move its load to others."""
    monkeypatch.setattr(checks, "REMEMBERED_SECONDS", 0.0)
    user = f"u_{uuid4().hex}"
    await execute(settings, f"CREATE ROLE {user} LOGIN IN ROLE pg_read_all_data, pg_write_all_data")
    assert settings.database.url is not None
    plain = settings.database.url.get_secret_value().replace("postgres@", f"{user}@")
    database = settings.database.model_copy(update={"url": SecretStr(plain)})
    try:
        async with create_service(replace(settings, database=database), provider) as service:
            await store(service)
            await execute(settings, f"ALTER ROLE {user} CONNECTION LIMIT 0")

            assert await ready(service) == (200, "degraded")
            status, body = await told(service)
            assert (status, body["database"]) == (200, "degraded")
            assert "takes no more connections" in wrong(body)["database"]
            assert (await store(service))["content"]

            await service.database.close()
            assert await ready(service) == (503, "unavailable")
    finally:
        await execute(settings, f"DROP ROLE {user}")


async def test_who_asks_for_health_starts_no_database(service: Service, settings: Settings) -> None:
    """An embedded one may take a while to start, and is started by those who have requests."""
    started: list[int] = []

    nothing = "postgresql://postgres@127.0.0.1:1/none"

    async def revive() -> str:
        started.append(1)
        return nothing

    nowhere = Database(nothing, settings.database, PoolSize(0, 1), revive)
    with pytest.raises(DatabaseUnavailableError):
        await storage_health.database_problem(nowhere, space_source(settings), storage_health.WriteProbe())
    assert started == []

    with pytest.raises(DatabaseUnavailableError):
        async with nowhere.connection():
            pass
    assert started == [1]


async def test_a_pool_that_is_busy_is_not_taken_for_a_database_that_is_away(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "CHECK_TIMEOUT_SECONDS", 3.0)
    monkeypatch.setattr(storage_health, "TIMEOUT_SECONDS", 0.1)
    async with AsyncExitStack() as holding:
        for _ in range(service.database.usage().max_size):
            await holding.enter_async_context(service.database.connection())

        assert await ready(service) == (200, "degraded")
        status, body = await told(service)

    assert (status, body["status"], body["database"]) == (200, "degraded", "ok")
    assert "connections of this replica are busy" in wrong(body)["pool"]
    assert body["pending_embeddings"] is None


@pytest.mark.parametrize("part", ["search", "embedding", "scoring", "rate_limits", "metrics"])
async def test_a_deployment_that_is_away_degrades_the_service(serving: Serving, part: str) -> None:
    async def away() -> None:
        raise UnavailableError("A part of the service did not answer.", {"call": "probe"})

    async with serving(**{part: away}) as service:
        status, body = await told(service)
        assert (status, body["status"], list(wrong(body))) == (200, "degraded", [part])
        assert (await ready(service))[0] == 200


async def test_redis_that_is_away_degrades_the_service(serving: Serving) -> None:
    with running_redis() as redis:
        counter = RedisCounter(redis.url, timeout=2)
        async with serving(rate_limits=counter.ping) as service:
            assert wrong((await told(service))[1]) == {}
            redis.kill()
            async with asyncio.timeout(20):
                while not (found := wrong((await told(service))[1])):  # noqa: ASYNC110 - as it is asked
                    await asyncio.sleep(0.05)
        await counter.close()

    assert "each replica counts for itself" in found["rate_limits"]


async def test_a_backlog_that_no_worker_takes_from_is_told_of(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "STUCK_SECONDS", 0)
    await store(service)

    status, body = await told(service)

    assert (status, body["status"], body["pending_embeddings"]) == (200, "degraded", 1)
    assert wrong(body) == {"backlog": "No worker has taken any of 1 pending messages for 0 s."}
    assert await ready(service) == (200, "ok")


async def _claim(service: Service) -> None:
    await service.jobs.claim(uuid4(), 10, lease_seconds=3600)


async def _defer(service: Service) -> None:
    """As where the provider answers the probe, and no batch."""
    claim_id = uuid4()
    jobs = await service.jobs.claim(claim_id, 10, lease_seconds=3600)
    await service.jobs.postpone(claim_id, [(job.message_id, 300, None) for job in jobs], "Away.", deferred=True)


async def _postpone(service: Service) -> None:
    claim_id = uuid4()
    jobs = await service.jobs.claim(claim_id, 10, lease_seconds=3600)
    await service.jobs.postpone(claim_id, [(job.message_id, 300, None) for job in jobs], "It failed.")


async def _age(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let two hours pass."""
    await execute(settings, "UPDATE embedding_jobs SET created_at = created_at - interval '2 hours'")
    monkeypatch.setattr(health, "monotonic", lambda: monotonic() + 7200)


@pytest.mark.parametrize("leave", [_claim, _defer])
async def test_embedding_that_makes_no_progress_is_told_of_until_it_does(
    service: Service, settings: Settings, monkeypatch: pytest.MonkeyPatch, leave: Callable[[Service], Any]
) -> None:
    monkeypatch.setattr(checks, "REMEMBERED_SECONDS", 0.0)
    for _ in range(2):
        await store(service)
    await leave(service)
    assert wrong((await told(service))[1]) == {}

    await _age(settings, monkeypatch)
    status, body = await told(service)
    assert (status, body["status"], body["pending_embeddings"], list(wrong(body))) == (200, "degraded", 2, ["backlog"])
    problem = wrong(body)["backlog"]
    assert "completed none of 2 pending messages" in problem
    since = datetime.fromisoformat(problem.partition("waited since ")[2].partition(": ")[0])
    assert timedelta(hours=2) <= datetime.now(UTC) - since < timedelta(hours=2, minutes=5)
    assert await ready(service) == (200, "ok")

    one = "SELECT message_id FROM embedding_jobs LIMIT 1"
    await execute(settings, f"UPDATE embedding_jobs SET available_at = now() WHERE message_id = ({one})")  # noqa: S608
    assert await service.worker.work_once() == 1
    # A connection reports what it deleted within ten seconds, and when it is closed.
    await service.database.close()

    async def well_again() -> bool:
        return wrong((await told(service))[1]) == {}

    await until_answered(well_again)
    assert (await told(service))[1]["pending_embeddings"] == 1


async def test_a_message_that_waits_for_its_own_retry_is_no_lack_of_progress(
    service: Service, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "REMEMBERED_SECONDS", 0.0)
    await store(service)
    await _postpone(service)
    assert wrong((await told(service))[1]) == {}

    await _age(settings, monkeypatch)

    assert wrong((await told(service))[1]) == {}


async def test_an_outage_that_is_told_is_not_told_twice(
    serving: Serving, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "REMEMBERED_SECONDS", 0.0)

    async def away() -> str:
        return "The embedding provider answers HTTP 503."

    async with serving(embedding=away) as service:
        await store(service)
        await _defer(service)
        await told(service)
        await execute(settings, "UPDATE embedding_jobs SET created_at = created_at - interval '2 hours'")
        for passed in (0, 400, 800):
            monkeypatch.setattr(health, "monotonic", lambda passed=passed: monotonic() + passed)
            assert list(wrong((await told(service))[1])) == ["embedding"]


async def test_liveness_is_lost_with_the_work_of_the_replica(service: Service) -> None:
    task = asyncio.create_task(asyncio.sleep(0))
    service.liveness.watch("following the keys", task)
    await task

    answer = await service.client.get("/v1/admin/liveness")

    assert answer.status_code == 503
    assert answer.json() == {"status": "unavailable", "problems": ["This replica has stopped following the keys."]}


async def test_many_who_ask_cost_one_connection(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    connect, opened = service.database.connect, 0

    async def counting(*, revive: bool) -> Any:
        nonlocal opened
        opened += 1
        return await connect(revive=revive)

    monkeypatch.setattr(service.database, "connect", counting)
    paths = ["/v1/admin/health", "/v1/admin/readiness"] * 20
    answers = await asyncio.gather(*(service.client.get(path) for path in paths))

    assert {answer.status_code for answer in answers} == {200}
    assert opened == 1
