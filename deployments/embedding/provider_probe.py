"""Whether the embedding provider works, found out without asking it for everybody who wants to know."""

import asyncio
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from time import monotonic

import structlog

from deployments.errors import EmbeddingError

logger = structlog.get_logger(__name__)

# Calls may cost.
BETWEEN_CALLS_SECONDS = 10.0
TIMEOUT_SECONDS = 2.0


class ProviderProbe:
    """Embeds a word now and then, when somebody wants to know."""

    def __init__(self, ask: Callable[[], Awaitable[None]]) -> None:
        """`ask` embeds something. Raises `EmbeddingError`."""
        self._ask = ask
        self._asking: asyncio.Task[None] | None = None
        self._due = 0.0
        self._problem: str | None = None

    async def problem(self) -> str | None:
        """Why the provider cannot embed, in a sentence that may be shown to anyone; None: it can."""
        if self._asking is None or (self._asking.done() and monotonic() >= self._due):
            self._asking = asyncio.create_task(self._find_out())
        done, _ = await asyncio.wait([self._asking], timeout=TIMEOUT_SECONDS)
        return self._problem if done else self._problem or "The embedding provider takes long to answer."

    async def _find_out(self) -> None:
        """In a task of its own: with the provider's retries it takes longer than those who ask have time."""
        try:
            await self._ask()
            self._problem = None
        except EmbeddingError as error:
            logger.warning("provider_probe_failed", reason=error.message)
            self._problem = told(error)
        except Exception:
            # Nobody awaits this task: what it ended with would be heard of by no one.
            logger.exception("provider_probe_broke")
            self._problem = "The embedding provider fails in a way that nobody expected."
        self._due = monotonic() + BETWEEN_CALLS_SECONDS


def told(error: EmbeddingError) -> str:
    """What anyone may know of a failure: a provider's own words may name accounts, and stay in the log."""
    status = (error.details or {}).get("status")
    if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        return f"The embedding provider refuses the key (HTTP {status})."
    if status == HTTPStatus.NOT_FOUND:
        return "The embedding provider does not know the model (HTTP 404)."
    if status is not None:
        return f"The embedding provider answers HTTP {status}."
    return error.message
