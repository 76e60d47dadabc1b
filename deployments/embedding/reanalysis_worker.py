"""Background worker that re-analyses messages after a change of a tenant's language or of the release."""

import asyncio
from time import monotonic

import structlog

from deployments.errors import MemoryLayerError
from deployments.storage.messages.reanalyses import ReanalysisRepository
from deployments.storage.messages.reanalyzing import Reanalyzer

logger = structlog.get_logger(__name__)

# How often changed languages are looked up: a statement that finds none takes 0.2 ms.
POLL_SECONDS = 10.0
# How often to check whether a replica of the previous release has stored messages.
LOOK_BACK_SECONDS = 60.0


class ReanalysisWorker:
    """Runs beside the embedding worker. Its claims expire too, so another replica continues a killed one's work."""

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
                # A bug here must not stop the embedding of messages.
                logger.exception("reanalysis_broke")
                worked = False
            if not worked:
                await asyncio.sleep(POLL_SECONDS)

    async def work_once(self) -> bool:
        """Re-analyse one tenant, if one is due. Return whether one was."""
        if not self._adopted:
            await self._repository.adopt_policy()
            self._adopted = True
        if monotonic() - self._looked_back_at >= LOOK_BACK_SECONDS:
            await self._repository.request_unanalyzed()
            self._looked_back_at = monotonic()
        return await self._reanalyzer.reanalyze_next() is not None
