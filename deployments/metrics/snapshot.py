"""What a replica has measured, as numbers that can be sent, added and shown. Pure."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from prometheus_client import generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

# A sample's name, and its labels in the order in which they were declared.
Series: TypeAlias = tuple[str, tuple[tuple[str, str], ...]]

GAUGE = "gauge"
# About a microsecond. What happened is told in whole multiples of it, of which up to 8e9 add up exactly: sums of other
# fractions depend on their order, and one that falls by its last bit is a reset to Prometheus.
STEP = 2.0**-20
# Families that differ at each look, also where nothing has happened.
DRIFTING = frozenset({"replica_resident_memory_bytes", "replica_cpu_seconds"})
# When a series began tells nothing of a sum over replicas that came and went.
_BIRTH = "_created"


class Family(NamedTuple):
    """A metric with all of its series; `kind` in the words of Prometheus."""

    kind: str
    documentation: str
    values: dict[Series, float]


Snapshot: TypeAlias = dict[str, Family]


def take(collector: Collector) -> Snapshot:
    """What a registry holds at this moment."""
    return {
        metric.name: Family(
            metric.type,
            metric.documentation,
            {
                (sample.name, tuple(sample.labels.items())): _value(metric.type, sample.value)
                for sample in metric.samples
                if not sample.name.endswith(_BIRTH)
            },
        )
        for metric in collector.collect()
    }


def total(snapshots: Iterable[Snapshot]) -> Snapshot:
    """The sum of each series."""
    summed: Snapshot = {}
    for snapshot in snapshots:
        for name, family in snapshot.items():
            values = summed.setdefault(name, family._replace(values={})).values
            for series, value in family.values.items():
                values[series] = values.get(series, 0.0) + value
    return summed


def lasting(snapshot: Snapshot) -> Snapshot:
    """What stays true when its replica is gone: what happened, and not how things stand."""
    return {name: family for name, family in snapshot.items() if family.kind != GAUGE}


def settled(snapshot: Snapshot) -> Snapshot:
    """Return what differs only where something has happened."""
    return {name: family for name, family in snapshot.items() if name not in DRIFTING}


def since(snapshot: Snapshot, before: Snapshot) -> Snapshot:
    """What happened since an earlier snapshot of the same replica; how things stand, as they stand."""
    return {
        name: family if family.kind == GAUGE or name not in before else _since(family, before[name])
        for name, family in snapshot.items()
    }


def _value(kind: str, value: float) -> float:
    return value if kind == GAUGE else round(value / STEP) * STEP


def _since(family: Family, before: Family) -> Family:
    values = {series: value - before.values.get(series, 0.0) for series, value in family.values.items()}
    return family._replace(values=values)


def exposition(snapshot: Snapshot) -> bytes:
    """The text that Prometheus reads."""
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
