"""Liveness of a replica: the one rule that Serve's health checks and the HTTP liveness endpoint share."""

import asyncio
from typing import Any


class Liveness:
    """Tracks the tasks that must run for as long as the replica does. It is alive while none of them has ended.

    It checks nothing outside of the process: when the database or a provider is down, a new replica would be no
    better, and Serve would replace all replicas in vain. A blocked event loop does not answer at all: Serve replaces
    the replica after three checks that time out.
    """

    def __init__(self) -> None:
        self._tasks: dict[str, asyncio.Future[Any]] = {}

    def watch(self, name: str, task: "asyncio.Future[Any] | None") -> None:
        """Watch a task that must never end; ignore None. `name`: what stops when the task ends."""
        if task is not None:
            self._tasks[name] = task

    def problem(self) -> str | None:
        """Return a sentence that names the tasks that have ended, or None."""
        ended = [name for name, task in self._tasks.items() if task.done()]
        return f"This replica has stopped {' and '.join(ended)}." if ended else None

    def check(self) -> None:
        """Raise `RuntimeError` if a watched task has ended. Its cause is the task's exception, which Serve logs."""
        problem = self.problem()
        if problem is not None:
            raise RuntimeError(problem) from self._cause()

    def _cause(self) -> BaseException | None:
        ended = (task for task in self._tasks.values() if task.done() and not task.cancelled())
        return next((cause for cause in (task.exception() for task in ended) if cause is not None), None)
