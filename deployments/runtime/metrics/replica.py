"""Metrics that every replica has: its process, connection pools and queues."""

import asyncio
from collections.abc import Callable, Iterator

import psutil
from cachetools import TTLCache, cached
from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from deployments.runtime.metrics.push import HEARTBEAT_SECONDS, SendPush
from deployments.runtime.metrics.reporter import MetricsReporter
from deployments.storage.postgres.database import Database


class ReplicaMetrics:
    """The metrics registry of one replica, with its process, pool and queue metrics, and its reporter."""

    def __init__(self, deployment: str, *, enabled: bool) -> None:
        """`enabled`: whether to push. Metrics are recorded in either case, which costs no more than a check."""
        self._deployment = deployment
        self._enabled = enabled
        self._reporter: MetricsReporter | None = None
        self.reporting: asyncio.Task[None] | None = None
        self.registry = CollectorRegistry()
        self.registry.register(_Process(deployment))
        self._pools = _Pools(deployment)
        self._queues = _Queues(deployment)
        self.registry.register(self._pools)
        self.registry.register(self._queues)

    def watch_pool(self, database: Database) -> None:
        """Export the usage of a connection pool."""
        self._pools.databases.append(database)

    def watch_queue(self, queue: str, waiting: Callable[[], int]) -> None:
        """Export the length of a queue."""
        self._queues.waiting[queue] = waiting

    def report(self, push: SendPush) -> None:
        """Start to push, if metrics are enabled. Needs a running event loop."""
        if self._enabled:
            self._reporter = MetricsReporter(self.registry, push)
            self.reporting = asyncio.create_task(self._reporter.run())

    async def stop(self) -> None:
        """Push the last increments, then stop."""
        if self._reporter is None or self.reporting is None:
            return
        self.reporting.cancel()
        await asyncio.wait([self.reporting])
        await self._reporter.push_or_go_on()


class _Process(Collector):
    def __init__(self, deployment: str) -> None:
        self._deployment = deployment
        self._process = psutil.Process()
        # Reading /proc costs more than everything else that an idle replica measures each second.
        self._read = cached(TTLCache(1, HEARTBEAT_SECONDS))(self._read_uncached)

    def _read_uncached(self) -> tuple[int, float]:
        with self._process.oneshot():
            times = self._process.cpu_times()
            return self._process.memory_info().rss, times.user + times.system

    def collect(self) -> Iterator[Metric]:
        memory, seconds = self._read()
        labels = ["deployment"]
        replicas = GaugeMetricFamily("replicas", "Replicas that push metrics", labels=labels)
        replicas.add_metric([self._deployment], 1)
        resident = GaugeMetricFamily("replica_resident_memory_bytes", "Memory of all replicas", labels=labels)
        resident.add_metric([self._deployment], memory)
        spent = CounterMetricFamily("replica_cpu_seconds", "Processor time of all replicas", labels=labels)
        spent.add_metric([self._deployment], seconds)
        yield from (replicas, resident, spent)


class _Pools(Collector):
    def __init__(self, deployment: str) -> None:
        self._deployment = deployment
        self.databases: list[Database] = []

    def collect(self) -> Iterator[Metric]:
        connections = GaugeMetricFamily(
            "database_pool_connections", "Connections to Postgres by state", labels=["deployment", "state"]
        )
        max_size = GaugeMetricFamily("database_pool_size", "Maximum number of connections", labels=["deployment"])
        waiting = GaugeMetricFamily(
            "database_pool_waiting", "Callers that wait for a connection", labels=["deployment"]
        )
        used = [database.usage() for database in self.databases]
        if used:
            connections.add_metric([self._deployment, "in_use"], sum(each.in_use for each in used))
            connections.add_metric([self._deployment, "idle"], sum(each.idle for each in used))
            max_size.add_metric([self._deployment], sum(each.max_size for each in used))
            waiting.add_metric([self._deployment], sum(each.waiting for each in used))
        yield from (connections, max_size, waiting)


class _Queues(Collector):
    def __init__(self, deployment: str) -> None:
        self._deployment = deployment
        self.waiting: dict[str, Callable[[], int]] = {}

    def collect(self) -> Iterator[Metric]:
        family = GaugeMetricFamily(
            "queue_waiting", "Items that wait for the next batch", labels=["deployment", "queue"]
        )
        for queue, waiting in self.waiting.items():
            family.add_metric([self._deployment, queue], waiting())
        yield family
