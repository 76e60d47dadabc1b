"""What the service does and reports while the disk of its database is full: a file system of 64 MB in memory."""

import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from secrets import token_hex
from uuid import uuid4

import pytest

from deployments.runtime import health as checks
from deployments.schemas.health import Status
from deployments.storage.postgres import health as storage_health
from deployments.storage.postgres.system_user import hand_over
from tests.integration.calls import found, message, store
from tests.integration.postgres import TEMPLATE, PostgresServer, connected, fast_directory
from tests.integration.service import Service


@pytest.fixture
def disk() -> Iterator[Path]:
    """Mount a small file system, which takes the rights of root."""
    with tempfile.TemporaryDirectory(prefix="ml-disk-", dir=fast_directory()) as directory:
        # Root's Postgres runs as another user, who has to pass.
        Path(directory).chmod(0o711)
        mounted = Path(directory) / "disk"
        mounted.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(mounted)]
        try:
            subprocess.run(mount, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            pytest.skip("This user may mount no file system.")
        try:
            yield mounted
        finally:
            subprocess.run(["umount", str(mounted)], check=True)


@pytest.fixture
def database_url(postgres: PostgresServer, disk: Path) -> Iterator[str]:
    """A migrated database on that disk. WAL is elsewhere: without room for it Postgres ends, which needs no probe."""
    name = f"small_{uuid4().hex}"
    hand_over(disk)
    postgres.execute(f"CREATE TABLESPACE {name} LOCATION '{disk}'")
    url = postgres.create(f"{TEMPLATE} TABLESPACE {name}")
    try:
        yield url
    finally:
        postgres.drop(url)
        postgres.execute(f"DROP TABLESPACE {name}")


@pytest.fixture(autouse=True)
def asked_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is remembered, and what is well answers in time on a busy machine too."""
    monkeypatch.setattr(checks, "REMEMBERED_SECONDS", 0.0)
    monkeypatch.setattr(checks, "CHECK_TIMEOUT_SECONDS", 30.0)
    monkeypatch.setattr(storage_health, "TIMEOUT_SECONDS", 20.0)


@asynccontextmanager
async def full(disk: Path) -> AsyncIterator[None]:
    ballast = disk / "ballast"
    with suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    assert shutil.disk_usage(disk).free == 0
    try:
        yield
    finally:
        ballast.unlink()


async def database_and_readiness(service: Service) -> tuple[str, str, int, str]:
    """The database's status and problem in health; readiness' status code and status."""
    body = (await service.client.get("/v1/admin/health")).json()
    (part,) = (part for part in body["parts"] if part["name"] == "database")
    ready = await service.client.get("/v1/admin/readiness")
    return part["status"], part["problem"] or "", ready.status_code, ready.json()["status"]


async def test_a_full_disk_is_degraded_since_searches_go_on(
    service: Service, disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage_health, "BETWEEN_WRITES_SECONDS", 0.0)
    await store(service)
    assert await database_and_readiness(service) == ("ok", "", 200, "ok")

    async with full(disk):
        status, problem, *ready = await database_and_readiness(service)
        assert (status, ready) == ("degraded", [200, "degraded"])
        assert problem.startswith("The database's disk is full: stores and changes fail, searches go on.")

        answers = [await service.client.post("/v1/messages", json=message(token_hex(4000))) for _ in range(20)]
        assert answers[-1].status_code == 503
        assert answers[-1].json()["error"]["message"].startswith("The database's disk is full: nothing can be stored")
        assert "I love Python programming" in await found(service, "Python")

    assert await database_and_readiness(service) == ("ok", "", 200, "ok")
    await store(service)


async def test_whether_the_disk_is_full_is_asked_now_and_then(service: Service, disk: Path) -> None:
    """And neither answer changes meanwhile: readiness does not flap."""
    assert (await database_and_readiness(service))[0] == "ok"

    async with full(disk):
        assert (await database_and_readiness(service))[0] == "ok"


@pytest.mark.parametrize("ends", ["by our limit", "by Postgres' limit"])
async def test_a_write_that_hangs_is_degraded(database_url: str, monkeypatch: pytest.MonkeyPatch, ends: str) -> None:
    async with connected(database_url) as blocking, connected(database_url) as connection, blocking.transaction():
        await blocking.execute("LOCK TABLE pg_depend IN EXCLUSIVE MODE")
        if ends == "by our limit":
            monkeypatch.setattr(storage_health, "TIMEOUT_SECONDS", 0.2)
        else:
            await connection.execute("SET statement_timeout = '200ms'")
        problem = await storage_health.WriteProbe().problem(connection)

    assert problem is not None
    assert (problem.status, problem.sentence[:40]) == (Status.DEGRADED, "Postgres did not finish a small write in")


async def test_the_write_leaves_nothing(database_url: str) -> None:
    async with connected(database_url) as connection:
        count = "SELECT (SELECT count(*) FROM pg_class), (SELECT count(*) FROM pg_namespace)"
        before = await connection.fetchrow(count)

        assert await storage_health.WriteProbe().problem(connection) is None

        assert await connection.fetchrow(count) == before
        assert not connection.is_in_transaction()


async def test_a_role_without_temporary_tables_is_not_asked_to_write(database_url: str) -> None:
    role, database = f"r_{uuid4().hex}", database_url.partition("@/")[2].partition("?")[0]
    async with connected(database_url) as owner:
        await owner.execute(f"CREATE ROLE {role} LOGIN; REVOKE TEMPORARY ON DATABASE {database} FROM PUBLIC")
        try:
            async with connected(database_url.replace("postgres@", f"{role}@")) as connection:
                assert await storage_health.WriteProbe().problem(connection) is None
        finally:
            await owner.execute(f"DROP ROLE {role}")
