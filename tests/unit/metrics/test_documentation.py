"""docs/metrics.md names each metric with its labels, and none that there is not."""

import re

from prometheus_client import CollectorRegistry

from deployments.embedding.instruments import EmbeddingInstruments
from deployments.metrics.database_totals import DatabaseTotalsCollector
from deployments.runtime.metrics.replica import ReplicaMetrics
from deployments.runtime.metrics.snapshot import take
from deployments.search.instruments import IndexInstruments, SearchInstruments
from deployments.settings import DatabaseSettings
from deployments.storage.postgres.database import Database, PoolSize
from deployments.storage.tenants.totals import DatabaseTotals, RetentionTotals
from serve_app.edge.instruments import IngressInstruments
from tests.paths import ROOT

ROW = re.compile(r"^\| `(\w+)` \|([^|]*)\|", re.MULTILINE)


async def read() -> DatabaseTotals:
    return DatabaseTotals(
        pending_embeddings=0,
        failed_embeddings=0,
        oldest_pending_seconds=0,
        tenants=0,
        erased_messages=0,
        unfinished_erasures=0,
        tenants_reanalyzing=0,
        retention=RetentionTotals(completed_at=1.0),
    )


async def with_all_measures(registry: CollectorRegistry) -> CollectorRegistry:
    """All that any replica measures."""
    for instruments in (IngressInstruments, SearchInstruments, IndexInstruments, EmbeddingInstruments):
        instruments(registry)
    totals = DatabaseTotalsCollector(read, schedule_seconds=86400)
    await totals.read_once()
    registry.register(totals)
    return registry


def documented() -> dict[str, set[str]]:
    """Each metric with its labels."""
    rows = ROW.findall((ROOT / "docs" / "metrics.md").read_text())
    return {name: set(re.findall(r"`(\w+)`", labels)) for name, labels in rows}


def exposed(registry: CollectorRegistry) -> dict[str, set[str]]:
    """Each metric by the name that Prometheus knows it by."""
    found = {}
    for name, family in take(registry).items():
        declared = getattr(registry._names_to_collectors.get(name), "_labelnames", ())
        labels = {label for _, pairs in family.values for label, _ in pairs} - {"le"}
        found[f"{name}_total" if family.kind == "counter" else name] = labels | set(declared)
    return found


async def test_the_documentation_names_every_metric_with_its_labels_and_no_other() -> None:
    metrics = ReplicaMetrics("Ingress", enabled=False)
    metrics.watch_queue("store", lambda: 0)
    metrics.watch_pool(Database("postgresql://nowhere/db", DatabaseSettings(), PoolSize(1, 2)))

    assert documented() == exposed(await with_all_measures(metrics.registry))
