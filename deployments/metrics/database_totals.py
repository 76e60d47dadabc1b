"""How things stand in the database, as metrics: read by one process for the whole cluster."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator

import structlog
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from deployments.errors import MemoryLayerError
from deployments.storage.tenants.totals import DatabaseTotals, RetentionTotals

logger = structlog.get_logger(__name__)

READ_SECONDS = 10.0


class DatabaseTotalsCollector(Collector):
    """Reads now and then. What is not known just now is left out, and not shown as it was."""

    def __init__(self, read: Callable[[], Awaitable[DatabaseTotals]], schedule_seconds: float | None = None) -> None:
        """`schedule_seconds`: how often retention is to run by itself, where it is."""
        self._read = read
        self._schedule_seconds = schedule_seconds
        self._totals: DatabaseTotals | None = None

    async def run(self) -> None:
        """Read until cancelled."""
        while True:
            await self.read_once()
            await asyncio.sleep(READ_SECONDS)

    async def read_once(self) -> None:
        """See how things stand."""
        try:
            self._totals = await self._read()
        except MemoryLayerError as error:
            self._totals = None
            logger.warning("totals_not_read", reason=error.message)
        except Exception:
            # All else is told all the same, and this once it can be read.
            self._totals = None
            logger.exception("totals_read_failed")

    def collect(self) -> Iterator[Metric]:
        """What is known."""
        if self._schedule_seconds is not None:
            yield GaugeMetricFamily(
                "retention_schedule_seconds", "How often retention is to run by itself", self._schedule_seconds
            )
        totals = self._totals
        if totals is None:
            return
        yield GaugeMetricFamily("embeddings_pending", "Messages that wait to be embedded", totals.pending_embeddings)
        yield GaugeMetricFamily("embeddings_failed", "Messages that were given up", totals.failed_embeddings)
        yield GaugeMetricFamily(
            "embeddings_oldest_pending_seconds", "Since when the oldest waits", totals.oldest_pending_seconds
        )
        yield GaugeMetricFamily("tenants", "Tenants that have stored something", totals.tenants)
        yield CounterMetricFamily("erased_messages", "Messages that erasures took", totals.erased_messages)
        yield GaugeMetricFamily(
            "erasures_unfinished", "Erasures that have not come to their end", totals.unfinished_erasures
        )
        yield GaugeMetricFamily(
            "tenants_reanalyzing", "Tenants whose messages are being analysed anew", totals.tenants_reanalyzing
        )
        yield from _retention(totals.retention)


def _retention(totals: RetentionTotals) -> Iterator[Metric]:
    messages = CounterMetricFamily("retention_messages", "Messages that runs have dealt with", labels=["action"])
    for action in ("archived", "deleted", "restored"):
        messages.add_metric([action], getattr(totals, action))
    ended = CounterMetricFamily("retention_runs", "Runs that have ended", labels=["status"])
    for status in ("completed", "refused", "failed"):
        ended.add_metric([status], getattr(totals, status))
    yield from (messages, ended)
    yield GaugeMetricFamily("retention_runs_running", "Runs that have not ended", totals.running)
    if totals.completed_at is not None:
        yield GaugeMetricFamily(
            "retention_last_completed_timestamp_seconds", "When a run last did its work", totals.completed_at
        )
