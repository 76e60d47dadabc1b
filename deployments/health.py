"""How the parts of the service are: each is asked within a time limit, and not by everybody who wants to know."""

import asyncio
from collections.abc import Awaitable, Callable
from enum import StrEnum
from time import perf_counter

import structlog
from pydantic import BaseModel, Field

from deployments.errors import MemoryLayerError, UnavailableError

logger = structlog.get_logger(__name__)

# Also what one who asks waits at most: all parts are asked side by side.
CHECK_TIMEOUT_SECONDS = 3.0
# Whoever asks within so long hears the same: ten load balancers cost no more than one.
REMEMBERED_SECONDS = 0.5

Ask = Callable[[], Awaitable[str | None]]


class Weakness(str):
    """A problem with which a part goes on: `degraded`, whatever the part is otherwise when something is wrong."""

    __slots__ = ()


class Status(StrEnum):
    """`degraded`: the service goes on with less, as the part's problem says."""

    OK = "ok"
    DEGRADED = "degraded"
    UNAVAILABLE = "unavailable"


class Part(BaseModel):
    """One part of the service as this replica sees it."""

    name: str
    status: Status
    latency_ms: float = Field(description="How long it took to answer.")
    problem: str | None = Field(description="What is wrong, in a sentence; null where nothing is.")


class Check:
    """One part, asked once for all who want to know meanwhile, and remembered for a moment."""

    def __init__(self, name: str, ask: Ask, *, silent: str, wrong: Status = Status.UNAVAILABLE) -> None:
        """`ask` returns what is wrong or raises it; `silent`: what is said where nothing answers; `wrong`: the status
        of the part then."""
        self._name = name
        self._ask = ask
        self._silent = silent
        self._wrong = wrong
        self._asking: asyncio.Task[Part] | None = None
        self._fresh_until = 0.0

    async def part(self) -> Part:
        """How it is. Never raises, and takes no longer than `CHECK_TIMEOUT_SECONDS`."""
        if self._asking is None or (self._asking.done() and perf_counter() >= self._fresh_until):
            self._asking = asyncio.create_task(self._find_out())
        # Who gives up waiting takes the answer from nobody else.
        return await asyncio.shield(self._asking)

    async def _find_out(self) -> Part:
        started = perf_counter()
        problem = await self._problem()
        ended = perf_counter()
        self._fresh_until = ended + REMEMBERED_SECONDS
        return Part(
            name=self._name, status=self._status(problem), latency_ms=round((ended - started) * 1e3, 2), problem=problem
        )

    def _status(self, problem: str | None) -> Status:
        if problem is None:
            return Status.OK
        return Status.DEGRADED if isinstance(problem, Weakness) else self._wrong

    async def _problem(self) -> str | None:
        try:
            async with asyncio.timeout(CHECK_TIMEOUT_SECONDS):
                return await self._ask()
        except TimeoutError:
            return self._silent
        except MemoryLayerError as error:
            return self._silent if error.code == UnavailableError.code else error.message
        except Exception:
            # Whatever broke, the part is not known to be well, and the others are to be told of.
            logger.exception("health_check_broke", part=self._name)
            return f"The check of this part broke: {self._name}."


def overall(parts: "list[Part]", needed: str) -> Status:
    """Of the whole: unavailable where the part is that nothing goes without, degraded where any other is not well."""
    if any(part.name == needed and part.status is Status.UNAVAILABLE for part in parts):
        return Status.UNAVAILABLE
    return Status.OK if all(part.status is Status.OK for part in parts) else Status.DEGRADED
