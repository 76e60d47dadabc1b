"""The embedded Postgres: where it is reached, by whom, and what it leaves of the machine as it was."""

import asyncio
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import asyncpg
import psutil
import pytest

from deployments.errors import ConfigurationError
from deployments.settings import Settings
from deployments.storage.database import PoolSize
from deployments.storage.embedded import ensure_running, running_url, stop
from deployments.storage.opening import open_database
from tests.integration.postgres import fast_directory
from tests.passable import passable_directory

LONG = "a folder whose name is longer than the path of a socket may be/" * 2
TRUST = "local all all trust\nhost all all 127.0.0.1/32 trust\n"
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may be another user")


@pytest.fixture(params=["data", LONG], ids=["beside the data", "elsewhere"])
def data_dir(request: pytest.FixtureRequest) -> Iterator[Path]:
    with passable_directory("ml-embedded-", fast_directory()) as home:
        yield home / request.param
        stop(home / request.param)


def sockets_of(url: str) -> Path:
    return Path(parse_qs(urlsplit(url).query)["host"][0])


def ask(url: str, statement: str) -> list[str]:
    async def fetch() -> list[str]:
        connection = await asyncpg.connect(url)
        try:
            return [str(row[0]) for row in await connection.fetch(statement)]
        finally:
            await connection.close()

    return asyncio.run(fetch())


def methods(url: str) -> set[str]:
    return set(ask(url, "SELECT auth_method FROM pg_hba_file_rules"))


def trusts_again(directory: Path) -> None:
    """Have a cluster as earlier versions made it."""
    (directory / "pg_hba.conf").write_text(TRUST)
    (directory / "pg_ident.conf").write_text("")


def test_the_socket_is_in_a_directory_of_its_owners_alone(data_dir: Path) -> None:
    sockets = sockets_of(ensure_running(data_dir))

    found = sockets.lstat()
    assert stat.S_ISDIR(found.st_mode)
    assert stat.S_IMODE(found.st_mode) == 0o700
    assert found.st_uid == (data_dir / "postgres").stat().st_uid
    stop(data_dir)
    assert sockets.exists() is (sockets == data_dir / "postgres")


def test_clients_are_known_by_the_kernels_word(data_dir: Path) -> None:
    url = ensure_running(data_dir)
    assert methods(url) == {"peer"}
    ask(url, "CREATE TABLE kept AS SELECT 1")
    stop(data_dir)
    trusts_again(data_dir / "postgres")

    url = ensure_running(data_dir)

    assert methods(url) == {"peer"}
    assert ask(url, "SELECT * FROM kept") == ["1"]


def test_a_server_of_an_earlier_version_that_runs_is_told(data_dir: Path) -> None:
    url = ensure_running(data_dir)
    trusts_again(data_dir / "postgres")
    ask(url, "SELECT pg_reload_conf()")

    url = ensure_running(data_dir)

    assert methods(url) == {"peer"}
    assert ask(url, "SELECT 1") == ["1"]


def test_a_socket_that_others_reach_is_closed_to_them_and_a_link_is_refused() -> None:
    with passable_directory("ml-embedded-", fast_directory()) as home:
        sockets = sockets_of(ensure_running(home / LONG))
        sockets.chmod(0o777)
        assert running_url(home / LONG) is not None
        assert stat.S_IMODE(sockets.stat().st_mode) == 0o700
        moved = sockets.rename(sockets.with_name(f"{sockets.name}.moved"))
        sockets.symlink_to(moved)

        with pytest.raises(ConfigurationError, match=sockets.name):
            ensure_running(home / LONG)

        sockets.unlink()
        moved.rename(sockets)
        stop(home / LONG)


def test_after_a_crash_it_is_reached_where_it_was() -> None:
    with passable_directory("ml-embedded-", fast_directory()) as home:
        url = ensure_running(home / LONG)
        pid = int((home / LONG / "postgres" / "postmaster.pid").read_text().splitlines()[0])
        postmaster = psutil.Process(pid)
        postmaster.kill()
        psutil.wait_procs([postmaster], timeout=30)

        assert ensure_running(home / LONG) == url

        assert ask(url, "SELECT 1") == ["1"]
        stop(home / LONG)


async def test_a_replica_finds_the_socket_of_a_server_that_was_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MEMORY_DATABASE_URL", raising=False)
    with passable_directory("ml-embedded-", fast_directory()) as home:
        monkeypatch.setenv("MEMORY_DATA_DIR", str(home / LONG))
        database = await open_database(Settings.load(), PoolSize(0, 1))
        await asyncio.to_thread(stop, home / LONG)

        async with database.connection() as connection:
            assert await connection.fetchval("SELECT 1") == 1

        await database.close()
        await asyncio.to_thread(stop, home / LONG)


@as_root
def test_no_permission_of_a_directory_above_the_data_is_changed() -> None:
    with passable_directory("ml-embedded-") as home:
        closed = home / "closed"
        closed.mkdir(mode=0o700)

        with pytest.raises(ConfigurationError, match=f"pass {closed}: run `chmod o\\+x {closed}`"):
            ensure_running(closed / "data")

        assert stat.S_IMODE(closed.stat().st_mode) == 0o700
        subprocess.run(["chmod", "o+x", closed], check=True)
        assert ask(ensure_running(closed / "data"), "SELECT 1") == ["1"]
        stop(closed / "data")


@as_root
def test_another_user_is_refused_even_where_the_socket_can_be_reached() -> None:
    with passable_directory("ml-embedded-") as home:
        url = ensure_running(home / LONG)
        sockets = sockets_of(url)
        sockets.chmod(0o777)
        where = [sys.executable, "-m", "deployments.storage.embedded", "programs"]
        programs = subprocess.run(where, capture_output=True, text=True, check=True).stdout.strip()
        done = subprocess.run(
            [f"{programs}/psql", "-X", "-h", sockets, "-U", "postgres", "-c", "SELECT 1"],
            cwd="/",
            user="nobody",
            capture_output=True,
            text=True,
            check=False,
        )
        stop(home / LONG)

    assert done.returncode != 0
    assert "Peer authentication failed" in done.stderr
