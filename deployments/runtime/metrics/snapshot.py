"""Snapshots of a registry: plain numbers that can be sent, added and exposed. Pure."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from prometheus_client import generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

# A sample's name, and its labels in the order in which they were declared.
Series: TypeAlias = tuple[str, tuple[tuple[str, str], ...]]

GAUGE = "gauge"
# Families whose value differs at each read, even in an idle replica.
DRIFTING = frozenset({"replica_resident_memory_bytes", "replica_cpu_seconds"})
# The creation time of a series is meaningless in a sum over replicas.
_BIRTH = "_created"


class Family(NamedTuple):
    """A metric with all of its series. `kind`: the Prometheus metric type."""

    kind: str
    documentation: str
    values: dict[Series, float]


Snapshot: TypeAlias = dict[str, Family]


def take(collector: Collector) -> Snapshot:
    """Return the current values of a registry."""
    return {
        metric.name: Family(
            metric.type,
            metric.documentation,
            {
                (sample.name, tuple(sample.labels.items())): sample.value
                for sample in metric.samples
                if not sample.name.endswith(_BIRTH)
            },
        )
        for metric in collector.collect()
    }


def total(snapshots: Iterable[Snapshot]) -> Snapshot:
    """Return the sum of each series, in a snapshot of its own."""
    summed: Snapshot = {}
    for snapshot in snapshots:
        add(summed, snapshot)
    return summed


def add(summed: Snapshot, snapshot: Snapshot) -> None:
    """Add each series of a snapshot to `summed`, in place."""
    for name, family in snapshot.items():
        values = summed.setdefault(name, family._replace(values={})).values
        for series, value in family.values.items():
            values[series] = values.get(series, 0.0) + value


def counted(snapshot: Snapshot) -> Snapshot:
    """Return the counters and histograms, which remain valid after their replica ends."""
    return {name: family for name, family in snapshot.items() if family.kind != GAUGE}


def gauges(snapshot: Snapshot) -> Snapshot:
    """Return the gauges, which are valid only while their replica runs."""
    return {name: family for name, family in snapshot.items() if family.kind == GAUGE}


def settled(snapshot: Snapshot) -> Snapshot:
    """Return the snapshot without the `DRIFTING` families."""
    return {name: family for name, family in snapshot.items() if name not in DRIFTING}


def since(snapshot: Snapshot, before: Snapshot) -> Snapshot:
    """Return the increments since an earlier snapshot of the same replica (0 if unchanged), and the current gauges."""
    return {
        name: family if family.kind == GAUGE or name not in before else _since(family, before[name])
        for name, family in snapshot.items()
    }


def _since(family: Family, before: Family) -> Family:
    values = {series: value - before.values.get(series, 0.0) for series, value in family.values.items()}
    return family._replace(values=values)


def exposition(snapshot: Snapshot) -> bytes:
    """Return the snapshot in Prometheus' text format."""
    return generate_latest(_Collected(snapshot))


@dataclass(frozen=True)
class _Collected(Collector):
    snapshot: Snapshot = field(repr=False)

    def collect(self) -> Iterator[Metric]:
        for name, family in self.snapshot.items():
            metric = Metric(name, family.documentation, family.kind)
            for (sample, labels), value in family.values.items():
                metric.add_sample(sample, dict(labels), value)
            yield metric
