"""Health checks of the service's parts, each with a timeout and a short cache."""

import asyncio
from collections.abc import Awaitable, Callable
from time import perf_counter

import structlog

from deployments.errors import MemoryLayerError, UnavailableError
from deployments.schemas.health import Part, Problem, Status

logger = structlog.get_logger(__name__)

# Also the longest time that a caller waits: all parts are checked concurrently.
CHECK_TIMEOUT_SECONDS = 3.0
# Callers within this time get the cached result: ten load balancers cost no more than one.
REMEMBERED_SECONDS = 0.5


# Return the problem of a part, or None. A probe returns a sentence, and its caller chooses the status.
Ask = Callable[[], Awaitable[Problem | None]]
Probe = Callable[[], Awaitable[str | None]]


class Check:
    """Health check of one part. Concurrent callers share one check, and its result is cached for a moment."""

    def __init__(self, name: str, ask: Ask, silent: Problem) -> None:
        """`ask` returns the problem or raises it. `silent`: the problem when nothing answers.

        A raised problem gets the status of `silent`.
        """
        self._name = name
        self._ask = ask
        self._silent = silent
        self._asking: asyncio.Task[Part] | None = None
        self._fresh_until = 0.0

    async def part(self) -> Part:
        """Return the state of the part within `CHECK_TIMEOUT_SECONDS`. Never raises."""
        if self._asking is None or (self._asking.done() and perf_counter() >= self._fresh_until):
            self._asking = asyncio.create_task(self._find_out())
        # Shielded: a caller that is cancelled does not cancel the check for the others.
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
            # An unexpected error makes this part unhealthy, but must not hide the state of the others.
            logger.exception("health_check_broke", part=self._name)
            return self._raised(f"The check of this part broke: {self._name}.")

    def _raised(self, sentence: str) -> Problem:
        return Problem(sentence, self._silent.status)


def probe_check(name: str, probe: Probe, silent: Problem) -> Check:
    """Return a check of a probe. Its problems have the status of `silent`."""

    async def ask() -> Problem | None:
        sentence = await probe()
        return None if sentence is None else Problem(sentence, silent.status)

    return Check(name, ask, silent)


def overall(parts: "list[Part]", needed: str) -> Status:
    """Return the overall status: unavailable if the part `needed` is, degraded if any part is not OK, else OK."""
    if any(part.name == needed and part.status is Status.UNAVAILABLE for part in parts):
        return Status.UNAVAILABLE
    return Status.OK if all(part.status is Status.OK for part in parts) else Status.DEGRADED
