"""Leaves Search replicas out that do not answer, and sends what they were asked to another one.

Serve notices a replica that hangs after 40 s (three health checks that time out). Searches only read, so they may run
twice.
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

# A call without an answer has its replica checked each time after so long. A slow search is not a fault: that alone
# sends nothing twice.
TIMEOUT_SECONDS = 0.4
# A replica that does not answer a check in this time is left out. Both together stay below 2 s.
CHECK_SECONDS = 0.8
# The pause before a replica that is left out is checked again.
RECHECK_SECONDS = 1.0

Answers = Sequence[Result | MemoryLayerError]
Answer = TypeVar("Answer")


class Failover:
    """Knows which Search replicas answer, as one ingress replica sees them."""

    def __init__(self, running: Callable[[], Sequence[str]], check: Callable[[str], Awaitable[bool]]) -> None:
        """`running`: the names of the replicas that run, as Serve knows.

        `check`: whether a replica answers. Returns or raises `SearchUnavailableError` within `CHECK_SECONDS`.
        """
        self._running = running
        self._check = check
        self._checks: dict[str, asyncio.Task[bool]] = {}
        # Replicas that have answered a call while they were checked.
        self._heard: set[str] = set()
        self._left_out: dict[str, asyncio.Task[None]] = {}

    def available(self) -> Sequence[str]:
        """Return the names of the running replicas that answer, or of all if none does."""
        running = self._running()
        if not self._left_out:
            return running
        return tuple(name for name in running if name not in self._left_out) or running

    def guarded(self, send_to: Callable[[str], Send[Item, Result]]) -> Callable[[str], Send[Item, Result]]:
        """Return the calls of `send_to`, each of which asks another replica when its own does not answer."""

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
                    self._heard.add(replica)
                return calls[0].result()
            if other := self._other_than(replica):
                # Once only: a search may be what kills replicas.
                calls.append(asyncio.ensure_future(send_to(other)(items)))
            return await _first_answer(calls)
        finally:
            for call in calls:
                call.cancel()

    async def _served(self, replica: str, call: "asyncio.Future[Answers[Result]]") -> bool:
        """Wait for the end of a call. Return False as soon as its replica does not answer a check, or is gone."""
        while True:
            await asyncio.wait([call], timeout=TIMEOUT_SECONDS)
            if _has_answered(call):
                return True
            if replica in self._left_out or (call.done() and replica not in self._running()):
                return False
            # One that drains is not checked: it answers what it has, within the time of the call.
            if replica in self._running():
                check = self._checked(replica)
                undone: list[asyncio.Future[Any]] = [check] if call.done() else [check, call]
                await asyncio.wait(undone, return_when=asyncio.FIRST_COMPLETED)
                if check.done() and (call.done() or not check.result()):
                    return check.result() or _has_answered(call)

    def _checked(self, replica: str) -> asyncio.Task[bool]:
        """Return the check of a replica, one for all calls that wait for it."""
        if replica not in self._checks:
            self._checks[replica] = asyncio.create_task(self._answers(replica), context=Context())
        return self._checks[replica]

    async def _answers(self, replica: str) -> bool:
        """Check a replica, and leave it out when neither the check nor any call is answered meanwhile.

        One that is late with the check alone has much to do: the other would be late next, with the work of both.
        """
        try:
            answers = await self._check(replica)
        except SearchUnavailableError:
            answers = replica in self._heard
        finally:
            self._heard.discard(replica)
            del self._checks[replica]
        if not answers and replica not in self._left_out:
            logger.warning("search_replica_left_out", replica=replica)
            self._left_out[replica] = asyncio.create_task(self._until_it_answers(replica), context=Context())
        return answers

    async def _until_it_answers(self, replica: str) -> None:
        try:
            while replica in self._running():
                await asyncio.sleep(RECHECK_SECONDS)
                if await self._checked(replica):
                    break
        finally:
            del self._left_out[replica]

    def _other_than(self, replica: str) -> str | None:
        """Return the name of another replica that answers, as far as is known."""
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
