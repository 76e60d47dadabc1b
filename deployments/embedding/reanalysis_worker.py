"""Keeps the terms of all messages as the tenants' languages and the release in use want them."""

import asyncio
from time import monotonic

import structlog

from deployments.errors import MemoryLayerError
from deployments.storage.messages.reanalyses import ReanalysisRepository
from deployments.storage.messages.reanalyzing import Reanalyzer

logger = structlog.get_logger(__name__)

# A language that is changed is looked for so often: one statement that finds nothing takes 0.2 ms.
POLL_SECONDS = 10.0
# So often, whether a replica of the release before stored messages.
LOOK_BACK_SECONDS = 60.0


class ReanalysisWorker:
    """Runs beside the embedding worker, whose claims its own are like: what a killed one left goes on elsewhere."""

    def __init__(self, repository: ReanalysisRepository, reanalyzer: Reanalyzer | None = None) -> None:
        self._repository = repository
        self._reanalyzer = reanalyzer or Reanalyzer(repository)
        self._adopted = False
        self._looked_back_at = -LOOK_BACK_SECONDS

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            try:
                worked = await self.work_once()
            except MemoryLayerError as error:
                logger.warning("reanalysis_left", code=error.code, reason=error.message)
                worked = False
            except Exception:
                # A fault of ours here is no reason to embed no more.
                logger.exception("reanalysis_broke")
                worked = False
            if not worked:
                await asyncio.sleep(POLL_SECONDS)

    async def work_once(self) -> bool:
        """Analyse one tenant anew, if one is due. Returns whether one was."""
        if not self._adopted:
            await self._repository.adopt_policy()
            self._adopted = True
        if monotonic() - self._looked_back_at >= LOOK_BACK_SECONDS:
            await self._repository.request_unanalyzed()
            self._looked_back_at = monotonic()
        return await self._reanalyzer.reanalyze_next() is not None
