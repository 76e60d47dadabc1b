"""The Metrics deployment: the totals of the cluster."""

import asyncio
import time
from dataclasses import replace

from prometheus_client import CollectorRegistry

from deployments.metrics.database_totals import DatabaseTotalsCollector
from deployments.metrics.totals import Totals
from deployments.runtime.database import open_database
from deployments.runtime.metrics.push import Push
from deployments.runtime.metrics.snapshot import Snapshot, exposition, take
from deployments.runtime.replica import Replica
from deployments.settings import Settings
from deployments.storage.postgres.database import Database, PoolSize
from deployments.storage.tenants.totals import DatabaseTotals, DatabaseTotalsRepository

POOL = PoolSize(min_size=0, max_size=1)


class MetricsServer(Replica):
    """Sums what all replicas push. It has one replica: two would each know only a part.

    A new replica starts from zero. It needs the database only for the database totals: without it, all other metrics
    are still exported. It has no metrics of its own.
    """

    async def __init__(self) -> None:  # type: ignore[misc]  # Serve awaits it
        settings = Settings.load()
        super().__init__("Metrics", settings)
        self._totals = Totals(time.monotonic)
        self._rendered: tuple[Snapshot, bytes] = ({}, b"")
        self._own = CollectorRegistry()
        self._database: Database | None = None
        self._settings = settings
        collector = DatabaseTotalsCollector(self._read_totals, settings.retention.schedule_seconds)
        self._own.register(collector)
        self._reading = asyncio.create_task(collector.run()) if settings.runtime.metrics_enabled else None
        self.liveness.watch("reading totals", self._reading)

    async def push(self, push: Push) -> None:
        """Add what a replica has counted since its last push. Returning acknowledges the push."""
        self._totals.add(push)

    async def text(self) -> bytes:
        """Return the totals in Prometheus' text format."""
        shown = self._totals.shown()
        if self._rendered[0] is not shown:
            self._rendered = shown, exposition(shown)
        return self._rendered[1] + exposition(take(self._own))

    async def _read_totals(self) -> DatabaseTotals:
        """Read the totals. The database is opened at the first read, so that its outage does not delay the start."""
        if self._database is None:
            # The pool size in the environment is meant for replicas that serve requests, not for this one.
            own = self._settings.database.model_copy(update={"pool_size": None, "max_overflow": None})
            self._database = await open_database(replace(self._settings, database=own), POOL)
        return await DatabaseTotalsRepository(self._database).read()

    async def __del__(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
        if self._database is not None:
            await self._database.close()
        await self._end()
