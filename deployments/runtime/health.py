"""How the parts of the service are: each is asked within a time limit, and not by everybody who wants to know."""

import asyncio
from collections.abc import Awaitable, Callable
from time import perf_counter

import structlog

from deployments.errors import MemoryLayerError, UnavailableError
from deployments.schemas.health import Part, Problem, Status

logger = structlog.get_logger(__name__)

# Also what one who asks waits at most: all parts are asked side by side.
CHECK_TIMEOUT_SECONDS = 3.0
# Whoever asks within so long hears the same: ten load balancers cost no more than one.
REMEMBERED_SECONDS = 0.5


# Return what is wrong with a part, or None; a probe leaves the status to the caller.
Ask = Callable[[], Awaitable[Problem | None]]
Probe = Callable[[], Awaitable[str | None]]


class Check:
    """One part, asked once for all who want to know meanwhile, and remembered for a moment."""

    def __init__(self, name: str, ask: Ask, silent: Problem) -> None:
        """`ask` returns what is wrong or raises it. `silent`: the problem where nothing answers; a raised one has its
        status."""
        self._name = name
        self._ask = ask
        self._silent = silent
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
            name=self._name,
            status=Status.OK if problem is None else problem.status,
            latency_ms=round((ended - started) * 1e3, 2),
            problem=None if problem is None else problem.sentence,
        )

    async def _problem(self) -> Problem | None:
        try:
            async with asyncio.timeout(CHECK_TIMEOUT_SECONDS):
                return await self._ask()
        except TimeoutError:
            return self._silent
        except MemoryLayerError as error:
            return self._silent if error.code == UnavailableError.code else self._raised(error.message)
        except Exception:
            # Whatever broke, the part is not known to be well, and the others are to be told of.
            logger.exception("health_check_broke", part=self._name)
            return self._raised(f"The check of this part broke: {self._name}.")

    def _raised(self, sentence: str) -> Problem:
        return Problem(sentence, self._silent.status)


def probe_check(name: str, probe: Probe, silent: Problem) -> Check:
    """Return a check of what answers with a sentence: its problems have the status of `silent`."""

    async def ask() -> Problem | None:
        sentence = await probe()
        return None if sentence is None else Problem(sentence, silent.status)

    return Check(name, ask, silent)


def overall(parts: "list[Part]", needed: str) -> Status:
    """Of the whole: unavailable where the part is that nothing goes without, degraded where any other is not well."""
    if any(part.name == needed and part.status is Status.UNAVAILABLE for part in parts):
        return Status.UNAVAILABLE
    return Status.OK if all(part.status is Status.OK for part in parts) else Status.DEGRADED
