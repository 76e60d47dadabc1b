"""A re-embedding that is killed, disturbed, or runs twice: it goes on where it was, and nothing is lost."""

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager

import asyncpg
import pytest

from deployments.embedding.providers.local import LocalProvider
from deployments.embedding.providers.protocol import EmbeddingProvider
from deployments.embedding.providers.registry import create_provider
from deployments.errors import EmbeddingRejectedError, EmbeddingUnavailableError
from deployments.schemas.vectors import EmbeddingSpace
from deployments.settings import Settings
from deployments.storage.embeddings.spaces import OtherState
from jobs.reembedding import running
from tests.integration.calls import change, found, get, search, store
from tests.integration.postgres import SPACE
from tests.integration.recount import recounted
from tests.integration.service import Service
from tests.integration.two_spaces import SMALL, TO_SMALL, Interrupted, fill, not_embedded, replica, run, spaces
from tests.paths import ROOT
from tests.unit.embedding.stand_in import Scripted, StandIn

MESSAGES = 24
REMOTE = EmbeddingSpace("stand-in", 96)
BUSY = "SELECT count(*) FROM pg_stat_activity WHERE query ~ $1 AND state = 'active' AND wait_event_type = 'Lock'"
HELD = "LOCK TABLE messages IN ROW EXCLUSIVE MODE"


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """No replica needs time here to meet a new space."""
    monkeypatch.setattr(running, "KNOWN_SECONDS", 0.0)


@pytest.fixture
async def service(settings: Settings) -> AsyncIterator[Service]:
    """A replica with messages."""
    async with replica(settings) as service:
        await fill(service, MESSAGES)
        yield service


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    """A provider of the new space, which answers when it is told to."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server = StandIn()
    yield server
    server.close()


@asynccontextmanager
async def held(url: str) -> AsyncIterator[asyncpg.Connection]:
    """Someone else's transaction that has written messages and does not end; and a view of who waits."""
    connection, watching = await asyncpg.connect(url), await asyncpg.connect(url)
    transaction = connection.transaction()
    await transaction.start()
    await connection.execute(HELD)
    yield watching
    await transaction.rollback()
    await connection.close()
    await watching.close()


async def until_it_waits(watching: asyncpg.Connection, query: str) -> None:
    async with asyncio.timeout(60):
        while not await watching.fetchval(BUSY, query):  # noqa: ASYNC110 - Postgres sets no event
            await asyncio.sleep(0.01)


@asynccontextmanager
async def killed(*arguments: str) -> AsyncIterator[None]:
    """The job in a process of its own, which is killed when the block ends."""
    command = (sys.executable, "-m", "jobs.reembed", *arguments)
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stderr=subprocess.DEVNULL)
    try:
        yield
        assert process.returncode is None
    finally:
        process.kill()
        await process.wait()


async def test_killed_in_each_phase_it_goes_on(service: Service, database_url: str, stand_in: StandIn) -> None:
    """In each it still serves: no search is degraded, and what is written meanwhile is in both spaces in the end."""
    remote = ("--provider", "openai_compatible", "--model", REMOTE.model, "--dimensions", str(REMOTE.dimensions))
    there = (*remote, "--base-url", f"{stand_in.address}/v1", "--batch", "10")

    async def still_serves(active: EmbeddingSpace, state: OtherState | None) -> None:
        now = await spaces(service)
        assert (now.active.space, now.other_state) == (active, state)
        await store(service, f"written at {time.monotonic()}")
        await service.embed_all()
        assert not (await search(service, "cherries"))["degraded"]

    stand_in.hold()
    async with killed(*there):
        await asyncio.to_thread(stand_in.wait_for_in_flight, 1, 60)
    stand_in.release()
    await still_serves(SPACE, None)

    # Begun and filled in part: the first batch is written, the second is under way.
    stand_in.script.extend([Scripted(), Scripted(), Scripted(silent=True)])
    async with killed(*there):
        await asyncio.to_thread(until_scripted, stand_in)
    await still_serves(SPACE, OtherState.NEXT)
    holes = await not_embedded(service, 256, REMOTE.dimensions)
    assert 0 < holes < MESSAGES

    async with held(database_url) as watching, killed(*there):
        await until_it_waits(watching, "CREATE INDEX CONCURRENTLY")
    await still_serves(SPACE, OtherState.NEXT)

    # All that is left to be asked is what the spaces are compared by.
    await service.spaces.refresh()
    assert await run(*there, "--no-switch", "--sample", "0") == 0
    stand_in.script.extend([Scripted(), Scripted(silent=True)])
    async with killed(*there):
        await asyncio.to_thread(until_scripted, stand_in)
    await still_serves(SPACE, OtherState.NEXT)

    async with held(database_url) as watching, killed(*there, "--sample", "0"):
        await until_it_waits(watching, "LOCK TABLE")
    await still_serves(SPACE, OtherState.NEXT)

    assert await run(*there, "--sample", "5") == 0
    await still_serves(REMOTE, OtherState.PREVIOUS)
    async with held(database_url) as watching, killed("--back"):
        await until_it_waits(watching, "LOCK TABLE")
    await still_serves(REMOTE, OtherState.PREVIOUS)
    assert await run("--back") == 0
    # Run again, as after a kill that came too late, it does not go there again.
    assert await run("--back") == 1
    await still_serves(SPACE, OtherState.NEXT)
    assert await not_embedded(service, 256, REMOTE.dimensions) == 0
    await recounted(service)

    async with held(database_url) as watching, killed("--drop"):
        await until_it_waits(watching, "LOCK TABLE")
    await still_serves(SPACE, OtherState.NEXT)
    assert await run("--drop") == 0
    await still_serves(SPACE, None)
    assert await not_embedded(service, 256, None) == 0
    await recounted(service)


def until_scripted(stand_in: StandIn) -> None:
    """Return when all that was scripted has been asked for, and the last of it is not answered."""
    deadline = time.monotonic() + 60
    while stand_in.script or not stand_in.in_flight:
        assert time.monotonic() < deadline
        time.sleep(0.01)


async def test_two_at_once_do_not_run(
    service: Service, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(running, "TURN_SECONDS", 0.01)
    inside, outside = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    async def wait(_: Sequence[str]) -> None:
        loop.call_soon_threadsafe(inside.set)
        await asyncio.to_thread(asyncio.run_coroutine_threadsafe(outside.wait(), loop).result)

    filled_by(monkeypatch, Interrupted(wait))
    first = asyncio.create_task(run(*TO_SMALL))
    await inside.wait()
    async with asyncio.timeout(60):
        assert [await run(*TO_SMALL), await run("--drop"), await run("--back")] == [1, 1, 1]
    assert capsys.readouterr().err.count("Another re-embedding runs") == 3
    outside.set()

    assert await first == 0
    assert await not_embedded(service, 128, 256) == 0


def filled_by(monkeypatch: pytest.MonkeyPatch, provider: EmbeddingProvider) -> None:
    """Have the job use this provider for the new space."""

    def create(settings: Settings) -> EmbeddingProvider:
        return provider if settings.embedding.dimensions == SMALL.dimensions else create_provider(settings)

    monkeypatch.setattr(running, "create_provider", create)


def once(happens: Callable[[], Awaitable[None]]) -> Callable[[Sequence[str]], Awaitable[None]]:
    """Let something happen the second time that messages are to be embedded."""
    calls = iter([False, True])

    async def happen(_: Sequence[str]) -> None:
        if next(calls, False):
            await happens()

    return happen


@pytest.fixture
def disturbed(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Has a statement run once while the job fills, from elsewhere."""

    def disturb(statement: str) -> None:
        async def happen() -> None:
            connection = await asyncpg.connect(database_url)
            await connection.execute(statement)
            await connection.close()

        filled_by(monkeypatch, Interrupted(once(happen)))

    return disturb


async def test_the_provider_goes_away_and_comes_back(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away() -> None:
        raise EmbeddingUnavailableError("The provider is away.")

    filled_by(monkeypatch, Interrupted(once(away)))

    assert await run(*TO_SMALL, "--batch", "5") == 0
    assert await not_embedded(service, 128, 256) == 0


async def test_a_provider_that_stays_away_ends_it(
    service: Service, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def away(_: Sequence[str]) -> None:
        raise EmbeddingUnavailableError("The provider is away.")

    filled_by(monkeypatch, Interrupted(away))

    assert await run(*TO_SMALL, "--patience", "0") == 1
    assert capsys.readouterr().err.splitlines()[-1] == "error: The provider is away."
    assert not (await search(service, "cherries"))["degraded"]


async def test_the_database_cuts_it_off(service: Service, disturbed: Callable[[str], None]) -> None:
    disturbed(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE pid <> pg_backend_pid() AND datname = current_database()"
    )

    assert await run(*TO_SMALL, "--batch", "5") == 0
    assert await not_embedded(service, 128, 256) == 0


async def test_a_tenant_is_erased_meanwhile(service: Service, disturbed: Callable[[str], None]) -> None:
    await fill(service, 12, "globex")
    disturbed("DELETE FROM messages WHERE tenant_id = 'acme'; DELETE FROM tenant_statistics WHERE tenant_id = 'acme'")

    assert await run(*TO_SMALL, "--batch", "5") == 0

    assert await not_embedded(service, 128, 256) == 0
    assert set(await recounted(service)) == {"globex"}


async def test_what_is_changed_while_it_is_embedded_is_embedded_as_it_is(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = await store(service, "before", created_at="2024-03-01T12:00:00Z")
    await service.embed_all()
    loop = asyncio.get_running_loop()

    async def change_it(texts: Sequence[str]) -> None:
        if any("before" in text for text in texts):
            await asyncio.to_thread(asyncio.run_coroutine_threadsafe(changed(), loop).result)

    async def changed() -> None:
        await change(service, stored["id"], content="after")
        await service.embed_all()

    filled_by(monkeypatch, Interrupted(change_it))
    assert await run(*TO_SMALL) == 0

    async with service.database.connection() as connection:
        vector = await connection.fetchval("SELECT embedding::real[] FROM messages WHERE id = $1", stored["id"])
    provider = LocalProvider(SMALL)
    at = (await get(service, stored["id"]))["created_at"]
    assert at == "2024-03-01T12:00:00Z"
    (expected,) = await provider.embed_documents(["(2024-03-01) user: after"])
    await provider.close()
    assert vector == pytest.approx(expected.tolist(), abs=1e-3)


async def test_a_row_that_another_holds_is_waited_for(service: Service, database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    transaction = connection.transaction()
    await transaction.start()
    await connection.execute("SELECT FROM messages ORDER BY id LIMIT 1 FOR UPDATE")

    assert await run(*TO_SMALL, "--patience", "0") == 1
    assert await not_embedded(service, 256, 128) == 1
    await transaction.rollback()
    await connection.close()
    assert await run(*TO_SMALL) == 0


async def test_what_the_new_provider_refuses(
    service: Service, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def refuse(texts: Sequence[str]) -> None:
        if any("forbidden" in text for text in texts):
            raise EmbeddingRejectedError("It is not allowed.")

    stored = await store(service, "a forbidden text")
    await service.embed_all()
    filled_by(monkeypatch, Interrupted(refuse))

    assert await run(*TO_SMALL) == 1
    said = capsys.readouterr().err
    assert stored["id"] in said
    assert "--accept-missing 1" in said
    assert await run(*TO_SMALL, "--accept-missing", "1") == 0

    now = await get(service, stored["id"])
    assert now["embedding_status"] == "failed"
    assert now["embedding_error"]
    assert "a forbidden text" in await found(service, "forbidden")
    await recounted(service)
    assert (await service.client.post(f"/v1/messages/{stored['id']}/retry")).status_code == 202
    await service.embed_all()
    assert await not_embedded(service, 128, 256) == 0
    await recounted(service)


async def test_filling_keeps_to_a_rate(service: Service) -> None:
    began = time.monotonic()

    assert await run(*TO_SMALL, "--batch", "12", "--rate", "48", "--no-switch", "--sample", "0") == 0

    assert time.monotonic() - began > MESSAGES / 48
