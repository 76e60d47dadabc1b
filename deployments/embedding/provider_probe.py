"""Health probe of the embedding provider, with a rate limit on its calls."""

import asyncio
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from time import monotonic

import structlog

from deployments.errors import EmbeddingError

logger = structlog.get_logger(__name__)

# Calls may cost money.
BETWEEN_CALLS_SECONDS = 10.0
TIMEOUT_SECONDS = 2.0


class ProviderProbe:
    """Embeds a word on request, at most once in `BETWEEN_CALLS_SECONDS`, and caches the result."""

    def __init__(self, ask: Callable[[], Awaitable[None]]) -> None:
        """`ask` embeds something. Raises `EmbeddingError`."""
        self._ask = ask
        self._asking: asyncio.Task[None] | None = None
        self._due = 0.0
        self._problem: str | None = None

    async def problem(self) -> str | None:
        """Return a user-safe reason why the provider cannot embed, or None."""
        if self._asking is None or (self._asking.done() and monotonic() >= self._due):
            self._asking = asyncio.create_task(self._find_out())
        done, _ = await asyncio.wait([self._asking], timeout=TIMEOUT_SECONDS)
        return self._problem if done else self._problem or "The embedding provider takes long to answer."

    async def _find_out(self) -> None:
        """Call the provider. Runs as a task: with the provider's retries it takes longer than a health check may."""
        try:
            await self._ask()
            self._problem = None
        except EmbeddingError as error:
            logger.warning("provider_probe_failed", reason=error.message)
            self._problem = told(error)
        except Exception:
            # Nobody awaits this task, so its exception must be logged here.
            logger.exception("provider_probe_broke")
            self._problem = "The embedding provider fails in a way that nobody expected."
        self._due = monotonic() + BETWEEN_CALLS_SECONDS


def told(error: EmbeddingError) -> str:
    """Return the user-safe part of an error: a provider's own message may name accounts, and stays in the log."""
    status = (error.details or {}).get("status")
    if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        return f"The embedding provider refuses the key (HTTP {status})."
    if status == HTTPStatus.NOT_FOUND:
        return "The embedding provider does not know the model (HTTP 404)."
    if status is not None:
        return f"The embedding provider answers HTTP {status}."
    return error.message
