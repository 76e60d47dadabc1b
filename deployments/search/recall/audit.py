"""Holds searches against exact search, in the background, so that an index that loses results is seen."""

import asyncio
from time import monotonic

import structlog

from deployments.errors import MemoryLayerError
from deployments.search.instruments import BUSY, FAILED, NOTHING, TIMED_OUT, SearchInstruments
from deployments.search.recall.measure import recall_at_10
from deployments.search.recall.samples import RecallSamples, Sample
from deployments.settings import SearchSettings
from deployments.storage.postgres.database import Database, PoolUsage
from deployments.storage.search.exact_order import Comparison, ExactOrderRepository

logger = structlog.get_logger(__name__)

# A walk of the index misses one or two of ten now and then.
LOW_RECALL = 0.8
# After each audit the database has rest for so many times as long as it took, however large the tenant is.
REST = 50
# So often, with so long between, an audit looks whether searches leave it a connection.
TRIES = 10
TRY_AGAIN_SECONDS = 0.5


class RecallAudit:
    """Audits one search at a time: asks it again, by its vector alone, and measures what it should have found.

    It is asked again, and what it had found is not kept, so that both see the same messages: nothing that was stored,
    deleted or embedded anew in between counts as lost.
    """

    def __init__(
        self, database: Database, settings: SearchSettings, instruments: SearchInstruments, samples: RecallSamples
    ) -> None:
        self._database = database
        self._exact_order = ExactOrderRepository(database, settings)
        self._per_minute = settings.recall_audits_per_minute
        self._instruments = instruments
        self._samples = samples
        self.running: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Audit from now on, where the settings want any. Needs a running loop."""
        if self._per_minute:
            self.running = asyncio.create_task(self._run(60 / self._per_minute))

    def stop(self) -> None:
        """Audit no more. What runs is cancelled, in Postgres too."""
        if self.running is not None:
            self.running.cancel()

    async def audit_next(self) -> float:
        """Audit a sample, if there is one. Returns how many seconds that took the database."""
        sample = self._samples.take()
        if sample is None:
            return 0.0
        with structlog.contextvars.bound_contextvars(request_id=sample.request_id):
            if not await self._finds_room():
                self._instruments.audited(sample.tenant_size, BUSY)
                return 0.0
            began = monotonic()
            await self._audit_or_say_why_not(sample)
            return monotonic() - began

    async def _run(self, interval: float) -> None:
        pause = interval
        while True:
            await asyncio.sleep(pause)
            pause = max(interval, REST * await self.audit_next())

    async def _finds_room(self) -> bool:
        for _ in range(TRIES):
            if has_room(self._database.usage()):
                return True
            await asyncio.sleep(TRY_AGAIN_SECONDS)
        return False

    async def _audit_or_say_why_not(self, sample: Sample) -> None:
        try:
            await self._audit(sample)
        except MemoryLayerError as error:
            self._instruments.audited(sample.tenant_size, FAILED)
            logger.warning("recall_not_audited", reason=error.message)
        except Exception:
            # A fault of ours here is no reason to look no more.
            self._instruments.audited(sample.tenant_size, FAILED)
            logger.exception("recall_audit_broke")

    async def _audit(self, sample: Sample) -> None:
        comparison = await self._exact_order.compare(sample.request, sample.embedding)
        if comparison is None:
            self._instruments.audited(sample.tenant_size, TIMED_OUT)
        else:
            self._tell(sample, comparison)

    def _tell(self, sample: Sample, comparison: Comparison) -> None:
        recall = recall_at_10(comparison.measured)
        if recall is None:
            self._instruments.audited(sample.tenant_size, NOTHING)
            return
        self._instruments.compared(sample.tenant_size, comparison.reference, recall.share)
        if recall.share < LOW_RECALL:
            logger.warning(
                "recall_low",
                tenant_id=sample.request.tenant_id,
                tenant_size=sample.tenant_size,
                recall=round(recall.share, 2),
                missing=recall.missing,
                scan=comparison.scan.value,
                reference=comparison.reference.value,
            )


def has_room(usage: PoolUsage) -> bool:
    """Whether a pool can lend a connection and have one more left for a search."""
    return not usage.waiting and usage.max_size - usage.in_use > 1
