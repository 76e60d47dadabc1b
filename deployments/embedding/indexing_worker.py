"""Background worker that adds growing tenants to the indexes of large tenants, and removes shrinking ones."""

import asyncio
from time import perf_counter

import structlog

from deployments.errors import MemoryLayerError
from deployments.storage.search.large_tenants import LargeTenantRepository

logger = structlog.get_logger(__name__)

# How often the sizes of all tenants are checked: 3 ms for 10,000 tenants.
POLL_SECONDS = 15.0
# The pause after each batch, as a multiple of the time that the batch took.
REST = 1.0


class IndexingWorker:
    """Runs beside the embedding worker. Its state is in Postgres, so another replica continues a killed one's work."""

    def __init__(self, tenants: LargeTenantRepository) -> None:
        self._tenants = tenants

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            try:
                await self.work_once(REST)
            except MemoryLayerError as error:
                logger.warning("indexing_left", code=error.code, reason=error.message)
            except Exception:
                # A bug here must not stop the embedding of messages.
                logger.exception("indexing_broke")
            await asyncio.sleep(POLL_SECONDS)

    async def work_once(self, rest: float = 0.0) -> None:
        """Find growing and shrinking tenants, and process them until all are finished or wait for writers."""
        changed = await self._tenants.notice()
        for state, tenants in changed._asdict().items():
            for tenant_id in tenants:
                logger.info("tenant_indexing_began", tenant_id=tenant_id, state=state)
        waiting: list[str] = []
        while True:
            began = perf_counter()
            step = await self._tenants.step(waiting)
            if step is None:
                return
            if step.finished:
                logger.info("tenant_indexing_ended", tenant_id=step.tenant_id, state=step.state)
            elif not step.marked:
                waiting.append(step.tenant_id)
            await asyncio.sleep(rest * (perf_counter() - began))
