"""Has the indexes of large tenants made in the background, and given up again when a tenant shrinks."""

import asyncio
from time import perf_counter

import structlog

from deployments.errors import MemoryLayerError
from deployments.storage.search.large_tenants import LargeTenantRepository

logger = structlog.get_logger(__name__)

# How often the sizes of all tenants are looked at: 10,000 of them take 3 ms.
POLL_SECONDS = 15.0
# After each batch Postgres has rest for so many times as long as it took.
REST = 1.0


class IndexingWorker:
    """Runs beside the embedding worker. All that it knows is in Postgres, so a killed one's work goes on elsewhere."""

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
                # A fault of ours here is no reason to embed no more.
                logger.exception("indexing_broke")
            await asyncio.sleep(POLL_SECONDS)

    async def work_once(self, rest: float = 0.0) -> None:
        """Notice who grows and who shrinks, and work on them until all are finished or have to wait for writers."""
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
