"""Has rows deleted that are over: of the change feed, of the history, and messages that have expired."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from deployments.errors import MemoryLayerError

logger = structlog.get_logger(__name__)

# The feed keeps an hour, and so much more.
CHANGES_SECONDS = 60.0
# Versions of messages are kept for days.
HISTORY_SECONDS = 60.0
# Expired messages are hidden all the same; one look that finds none takes 0.2 ms.
EXPIRED_SECONDS = 30.0


class Pruner:
    """Runs in each replica beside the embedding worker. Several do no more than one does, and none harm."""

    def __init__(self, what: str, prune: Callable[[], Awaitable[int]], seconds: float) -> None:
        """`what`: is pruned, as the log says it; `prune` deletes it and returns how much, every so many `seconds`."""
        self._what = what
        self._prune = prune
        self._seconds = seconds

    async def run(self) -> None:
        """Prune until cancelled. What fails is tried again after the same time."""
        while True:
            await self._prune_once()
            await asyncio.sleep(self._seconds)

    async def _prune_once(self) -> None:
        try:
            pruned = await self._prune()
        except MemoryLayerError as error:
            logger.warning("not_pruned", what=self._what, code=error.code, reason=error.message)
        except Exception:
            # A fault of ours here is no reason to embed no more.
            logger.exception("pruning_broke", what=self._what)
        else:
            if pruned:
                logger.info("pruned", what=self._what, count=pruned)
