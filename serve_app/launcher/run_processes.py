"""The processes of one run directory: found by an inherited environment variable, and stopped by process id.

If Ray is killed, it leaves HAProxy running, which keeps its port and answers errors. Every process that a launcher
starts has `MEMORY_RUN_DIRECTORY` in its environment, which tells leftovers of an earlier run apart from another
checkout's processes and from any other Ray on the machine.
"""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import psutil

from deployments.errors import ConfigurationError
from serve_app.launcher.cluster_environment import RUN_DIRECTORY_VARIABLE

_GRACE_SECONDS = 0.3
_KILL_SECONDS = 5.0
# Postgres is stopped with pg_ctl, which lets it finish its files first.
_NOT_OURS_TO_KILL = frozenset({"postgres"})


@contextlib.contextmanager
def only_launcher(directory: Path) -> Iterator[None]:
    """Hold the lock of a run directory, so that it has one launcher. The lock of a killed launcher is released."""
    with (directory / "launcher").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise ConfigurationError(
                f"The service already runs for this data directory (process {file.read().strip()}): "
                "stop it, or set MEMORY_DATA_DIR to another directory"
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def marked_processes(directory: Path) -> list[psutil.Process]:
    """Return the processes of a run directory, except this one and its ancestors."""
    own = psutil.Process()
    spared = {own.pid, *(parent.pid for parent in own.parents())}
    return [
        process
        for process in psutil.process_iter()
        if process.pid not in spared and _is_marked(process, str(directory))
    ]


def stop_marked_processes(directory: Path) -> int:
    """Stop the marked processes, and kill those that do not end. Return how many processes there were."""
    seen: set[int] = set()
    # Repeat: a process may start another one while it is being stopped.
    while found := marked_processes(directory):
        seen.update(process.pid for process in found)
        for process in found:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.terminate()
        _, alive = psutil.wait_procs(found, timeout=_GRACE_SECONDS)
        for process in alive:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(alive, timeout=_KILL_SECONDS)
    return len(seen)


def _is_marked(process: psutil.Process, directory: str) -> bool:
    try:
        return (
            process.environ().get(RUN_DIRECTORY_VARIABLE) == directory
            and process.status() != psutil.STATUS_ZOMBIE
            and process.name() not in _NOT_OURS_TO_KILL
        )
    except (psutil.Error, OSError):
        return False
