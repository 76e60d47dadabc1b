"""Whether a replica is to be replaced: the one rule, of Serve's checks in each deployment and of liveness over HTTP."""

import asyncio
from typing import Any


class Liveness:
    """A replica is well while its event loop turns and all goes on that is to go on for as long as it lives.

    Nothing outside of the process is asked: where the database or a provider is away, another replica would stand no
    better, and Serve would replace all of them for nothing. A loop that hangs does not come to answer at all: three
    checks that time out, and Serve replaces the replica.
    """

    def __init__(self) -> None:
        self._tasks: dict[str, asyncio.Future[Any]] = {}

    def watch(self, name: str, task: "asyncio.Future[Any] | None") -> None:
        """A task that never ends. `name`: what stops with it. None: it is not wanted here."""
        if task is not None:
            self._tasks[name] = task

    def problem(self) -> str | None:
        """What has stopped, in a sentence; None: nothing."""
        ended = [name for name, task in self._tasks.items() if task.done()]
        return f"This replica has stopped {' and '.join(ended)}." if ended else None

    def check(self) -> None:
        """Raise where something has stopped: by what it ended with, which Serve logs."""
        problem = self.problem()
        if problem is not None:
            raise RuntimeError(problem) from self._cause()

    def _cause(self) -> BaseException | None:
        ended = (task for task in self._tasks.values() if task.done() and not task.cancelled())
        return next((cause for cause in (task.exception() for task in ended) if cause is not None), None)
