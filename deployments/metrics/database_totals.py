"""Totals of the database as metrics, read by one process for the whole cluster."""

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
    """Reads the totals at intervals. Totals that cannot be read are omitted, not shown as they were."""

    def __init__(self, read: Callable[[], Awaitable[DatabaseTotals]], schedule_seconds: float | None = None) -> None:
        """`schedule_seconds`: the interval of scheduled retention, or None."""
        self._read = read
        self._schedule_seconds = schedule_seconds
        self._totals: DatabaseTotals | None = None

    async def run(self) -> None:
        """Read until cancelled."""
        while True:
            await self.read_once()
            await asyncio.sleep(READ_SECONDS)

    async def read_once(self) -> None:
        """Read the totals once."""
        try:
            self._totals = await self._read()
        except MemoryLayerError as error:
            self._totals = None
            logger.warning("totals_not_read", reason=error.message)
        except Exception:
            # The other metrics are still exported, and these again after the next successful read.
            self._totals = None
            logger.exception("totals_read_failed")

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics of the last successful read."""
        if self._schedule_seconds is not None:
            yield GaugeMetricFamily(
                "retention_schedule_seconds", "Interval of scheduled retention", self._schedule_seconds
            )
        totals = self._totals
        if totals is None:
            return
        yield GaugeMetricFamily("embeddings_pending", "Messages with a pending embedding", totals.pending_embeddings)
        yield GaugeMetricFamily("embeddings_failed", "Messages with a failed embedding", totals.failed_embeddings)
        yield GaugeMetricFamily(
            "embeddings_oldest_pending_seconds", "Age of the oldest pending embedding", totals.oldest_pending_seconds
        )
        yield GaugeMetricFamily("tenants", "Tenants that have stored something", totals.tenants)
        yield CounterMetricFamily("erased_messages", "Messages deleted by erasures", totals.erased_messages)
        yield GaugeMetricFamily("erasures_unfinished", "Unfinished erasures", totals.unfinished_erasures)
        yield GaugeMetricFamily(
            "tenants_reanalyzing", "Tenants with an unfinished re-analysis", totals.tenants_reanalyzing
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
    yield GaugeMetricFamily("retention_runs_running", "Unfinished retention runs", totals.running)
    if totals.completed_at is not None:
        yield GaugeMetricFamily(
            "retention_last_completed_timestamp_seconds", "Time at which a run last completed", totals.completed_at
        )
