"""The processes of one run directory: found by the mark that they inherit, and stopped by number.

Ray leaves HAProxy behind when it is killed, and HAProxy keeps its port and answers errors from it.
Every process that a launcher starts carries `MEMORY_RUN_DIRECTORY` in its environment, so what an
earlier run left is told apart from another checkout's and from any other Ray on the machine.
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
# Postgres is stopped by its own program, which lets it finish its files first.
_NOT_OURS_TO_KILL = frozenset({"postgres"})


@contextlib.contextmanager
def only_launcher(directory: Path) -> Iterator[None]:
    """Be the one launcher of a run directory. A killed launcher lets go of this."""
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
    """Return the processes of a run directory, without this one and those that started it."""
    own = psutil.Process()
    spared = {own.pid, *(parent.pid for parent in own.parents())}
    return [
        process
        for process in psutil.process_iter()
        if process.pid not in spared and _is_marked(process, str(directory))
    ]


def stop_marked_processes(directory: Path) -> int:
    """Stop what carries the mark, hard where asking does not help. Return how many processes there were."""
    seen: set[int] = set()
    # A process that starts another while it is being stopped shows up in the next round.
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
