"""Compares searches with exact search in the background, to detect an index that loses results."""

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

# Below this recall an audit logs a warning: an HNSW search sometimes misses one or two of ten.
LOW_RECALL = 0.8
# Each audit is followed by a pause of this many times its duration, so its load is bounded for tenants of any size.
REST = 50
# Number of attempts to find a spare connection, and the pause between them.
TRIES = 10
TRY_AGAIN_SECONDS = 0.5


class RecallAudit:
    """Audits one search at a time: repeats it by its vector only, and compares the result with exact search.

    The search is repeated, and its first result is not kept, so that both comparisons see the same messages: messages
    stored, deleted or embedded again in between do not count as lost.
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
        """Start the background audits if the settings enable them. Needs a running event loop."""
        if self._per_minute:
            self.running = asyncio.create_task(self._run(60 / self._per_minute))

    def stop(self) -> None:
        """Stop auditing. A running audit is cancelled, in Postgres too."""
        if self.running is not None:
            self.running.cancel()

    async def audit_next(self) -> float:
        """Audit the next sample, if any. Return how many seconds the database needed."""
        sample = self._samples.take()
        if sample is None:
            return 0.0
        with structlog.contextvars.bound_contextvars(request_id=sample.request_id):
            if not await self._has_spare_connection():
                self._instruments.audited(sample.tenant_size, BUSY)
                return 0.0
            began = monotonic()
            await self._audit_and_log_errors(sample)
            return monotonic() - began

    async def _run(self, interval: float) -> None:
        pause = interval
        while True:
            await asyncio.sleep(pause)
            pause = max(interval, REST * await self.audit_next())

    async def _has_spare_connection(self) -> bool:
        for _ in range(TRIES):
            if has_room(self._database.usage()):
                return True
            await asyncio.sleep(TRY_AGAIN_SECONDS)
        return False

    async def _audit_and_log_errors(self, sample: Sample) -> None:
        try:
            await self._audit(sample)
        except MemoryLayerError as error:
            self._instruments.audited(sample.tenant_size, FAILED)
            logger.warning("recall_not_audited", reason=error.message)
        except Exception:
            # A bug here must not end the audits.
            self._instruments.audited(sample.tenant_size, FAILED)
            logger.exception("recall_audit_broke")

    async def _audit(self, sample: Sample) -> None:
        comparison = await self._exact_order.compare(sample.request, sample.embedding)
        if comparison is None:
            self._instruments.audited(sample.tenant_size, TIMED_OUT)
        else:
            self._report(sample, comparison)

    def _report(self, sample: Sample, comparison: Comparison) -> None:
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
    """Return whether the pool has a free connection besides one for a search."""
    return not usage.waiting and usage.max_size - usage.in_use > 1
