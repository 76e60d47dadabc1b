"""Excludes Search replicas that do not answer, and sends their calls to another replica.

Serve detects a hanging replica only after 40 s (three health checks that time out). Searches only read, so running one
twice is safe.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from typing import Any, TypeVar

import structlog

from deployments.errors import MemoryLayerError, SearchUnavailableError
from deployments.runtime.micro_batcher import Item, Result
from deployments.search.routing.affinity import Send

logger = structlog.get_logger(__name__)

# The replica of an unanswered call is checked at this interval. A slow search is not a fault: slowness alone sends no
# call twice.
TIMEOUT_SECONDS = 0.4
# A replica that does not answer a check in this time is excluded. Both times together stay below 2 s.
CHECK_SECONDS = 0.8
# The pause before an excluded replica is checked again.
RECHECK_SECONDS = 1.0

Answers = Sequence[Result | MemoryLayerError]
Answer = TypeVar("Answer")


class Failover:
    """Tracks which Search replicas answer one ingress replica."""

    def __init__(self, running: Callable[[], Sequence[str]], check: Callable[[str], Awaitable[bool]]) -> None:
        """`running` returns the names of the replicas that Serve reports as running.

        `check` returns whether a replica answers, or raises `SearchUnavailableError`, within `CHECK_SECONDS`.
        """
        self._running = running
        self._check = check
        self._checks: dict[str, asyncio.Task[bool]] = {}
        # Replicas that answered a call during a check.
        self._answered_during_check: set[str] = set()
        self._left_out: dict[str, asyncio.Task[None]] = {}

    def available(self) -> Sequence[str]:
        """Return the names of the running replicas that answer, or of all running ones if none does."""
        running = self._running()
        if not self._left_out:
            return running
        return tuple(name for name in running if name not in self._left_out) or running

    def guarded(self, send_to: Callable[[str], Send[Item, Result]]) -> Callable[[str], Send[Item, Result]]:
        """Return `send_to` with failover: each call goes to another replica when its own does not answer."""

        def guarded_to(replica: str) -> Send[Item, Result]:
            own = send_to(replica)

            async def send(items: Sequence[Item]) -> Answers[Result]:
                if replica in self._left_out and (other := self._other_than(replica)):
                    return await send_to(other)(items)
                return await self._send(replica, own, send_to, items)

            return send

        return guarded_to

    async def _send(
        self,
        replica: str,
        own: Send[Item, Result],
        send_to: Callable[[str], Send[Item, Result]],
        items: Sequence[Item],
    ) -> Answers[Result]:
        calls = [asyncio.ensure_future(own(items))]
        try:
            if await self._served(replica, calls[0]):
                if replica in self._checks:
                    self._answered_during_check.add(replica)
                return calls[0].result()
            if other := self._other_than(replica):
                # Retry only once: the search itself may crash replicas.
                calls.append(asyncio.ensure_future(send_to(other)(items)))
            return await _first_answer(calls)
        finally:
            for call in calls:
                call.cancel()

    async def _served(self, replica: str, call: "asyncio.Future[Answers[Result]]") -> bool:
        """Wait until a call ends. Return False as soon as its replica fails a check or no longer runs."""
        while True:
            await asyncio.wait([call], timeout=TIMEOUT_SECONDS)
            if _has_answered(call):
                return True
            if replica in self._left_out or (call.done() and replica not in self._running()):
                return False
            # A draining replica is not checked: it still answers its calls, within their deadline.
            if replica in self._running():
                check = self._checked(replica)
                undone: list[asyncio.Future[Any]] = [check] if call.done() else [check, call]
                await asyncio.wait(undone, return_when=asyncio.FIRST_COMPLETED)
                if check.done() and (call.done() or not check.result()):
                    return check.result() or _has_answered(call)

    def _checked(self, replica: str) -> asyncio.Task[bool]:
        """Return the running check of a replica, shared by all calls that wait for it."""
        if replica not in self._checks:
            self._checks[replica] = asyncio.create_task(self._answers(replica), context=Context())
        return self._checks[replica]

    async def _answers(self, replica: str) -> bool:
        """Check a replica, and exclude it if it answers neither the check nor any call meanwhile.

        A replica that only answers the check late is busy. Excluding it would overload the other one with both loads.
        """
        try:
            answers = await self._check(replica)
        except SearchUnavailableError:
            answers = replica in self._answered_during_check
        finally:
            self._answered_during_check.discard(replica)
            del self._checks[replica]
        if not answers and replica not in self._left_out:
            logger.warning("search_replica_left_out", replica=replica)
            self._left_out[replica] = asyncio.create_task(self._recheck_until_it_answers(replica), context=Context())
        return answers

    async def _recheck_until_it_answers(self, replica: str) -> None:
        try:
            while replica in self._running():
                await asyncio.sleep(RECHECK_SECONDS)
                if await self._checked(replica):
                    break
        finally:
            del self._left_out[replica]

    def _other_than(self, replica: str) -> str | None:
        """Return the name of another running replica that is not excluded, or None."""
        return next((name for name in self._running() if name != replica and name not in self._left_out), None)


def _has_answered(call: "asyncio.Future[Answer]") -> bool:
    return call.done() and not isinstance(call.exception(), SearchUnavailableError)


async def _first_answer(calls: "Sequence[asyncio.Future[Answer]]") -> Answer:
    """Return the first answer. Raises the error of the last call when none answers."""
    pending = set(calls)
    while pending:
        done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        for call in done:
            if _has_answered(call):
                return call.result()
    return calls[-1].result()
