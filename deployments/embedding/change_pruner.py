"""Has old entries of the change feed deleted, and old versions of messages."""

import asyncio

import structlog

from deployments.errors import MemoryLayerError
from deployments.storage.message_changes import MessageChangeRepository
from deployments.storage.message_history import MessageHistoryRepository

logger = structlog.get_logger(__name__)

# The feed keeps an hour and the history its days, and so much more.
PRUNE_SECONDS = 60.0


class ChangePruner:
    """Runs in each replica beside the embedding worker. Several do no more than one does, and none harm."""

    def __init__(self, changes: MessageChangeRepository, history: MessageHistoryRepository, history_days: int) -> None:
        """`history_days`: how long versions are kept after they were replaced; 0: none is."""
        self._changes = changes
        self._history = history
        self._history_days = history_days

    async def run(self) -> None:
        """Prune once a minute until cancelled. What fails is tried again a minute later."""
        while True:
            await self._prune()
            await asyncio.sleep(PRUNE_SECONDS)

    async def _prune(self) -> None:
        try:
            pruned = await self._changes.prune()
            forgotten = await self._history.prune(self._history_days)
        except MemoryLayerError as error:
            logger.warning("changes_not_pruned", code=error.code, reason=error.message)
        except Exception:
            # A fault of ours here is no reason to embed no more.
            logger.exception("pruning_broke")
        else:
            if pruned:
                logger.info("changes_pruned", count=pruned)
            if forgotten:
                logger.info("history_pruned", count=forgotten)
