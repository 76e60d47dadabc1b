"""Has old entries of the change feed deleted, which indexes in memory are brought up to date by."""

import asyncio

import structlog

from deployments.errors import MemoryLayerError
from deployments.storage.message_changes import MessageChangeRepository

logger = structlog.get_logger(__name__)

# The feed keeps an hour, and so much more.
PRUNE_SECONDS = 60.0


class ChangePruner:
    """Runs in each replica beside the embedding worker. Several do no more than one does, and none harm."""

    def __init__(self, changes: MessageChangeRepository) -> None:
        self._changes = changes

    async def run(self) -> None:
        """Prune once a minute until cancelled. What fails is tried again a minute later."""
        while True:
            await self._prune()
            await asyncio.sleep(PRUNE_SECONDS)

    async def _prune(self) -> None:
        try:
            pruned = await self._changes.prune()
        except MemoryLayerError as error:
            logger.warning("changes_not_pruned", code=error.code, reason=error.message)
        except Exception:
            # A fault of ours here is no reason to embed no more.
            logger.exception("pruning_broke")
        else:
            if pruned:
                logger.info("changes_pruned", count=pruned)
