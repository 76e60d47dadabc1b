"""Periodic deletion of old rows of the change feed and the history, and of expired messages."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from deployments.errors import MemoryLayerError

logger = structlog.get_logger(__name__)

# The change feed keeps an hour, plus up to this interval.
CHANGES_SECONDS = 60.0
# Versions of messages are kept for days, so a minute makes no difference.
HISTORY_SECONDS = 60.0
# Expired messages are hidden before they are deleted. A run that finds none takes 0.2 ms.
EXPIRED_SECONDS = 30.0


class Pruner:
    """Runs in each replica beside the embedding worker. Several at once are safe, and do no extra work."""

    def __init__(self, what: str, prune: Callable[[], Awaitable[int]], seconds: float) -> None:
        """`what`: the name in the log. `prune` deletes rows and returns how many. `seconds`: the interval."""
        self._what = what
        self._prune = prune
        self._seconds = seconds

    async def run(self) -> None:
        """Prune until cancelled. A failed run is retried after the interval."""
        while True:
            await self._prune_once()
            await asyncio.sleep(self._seconds)

    async def _prune_once(self) -> None:
        try:
            pruned = await self._prune()
        except MemoryLayerError as error:
            logger.warning("not_pruned", what=self._what, code=error.code, reason=error.message)
        except Exception:
            # A bug here must not stop the embedding of messages.
            logger.exception("pruning_broke", what=self._what)
        else:
            if pruned:
                logger.info("pruned", what=self._what, count=pruned)
