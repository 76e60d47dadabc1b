"""What is measured, as it is added and shown."""

import pickle

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.parser import text_string_to_metric_families

from deployments.runtime.metrics.snapshot import Snapshot, counted, exposition, gauges, since, take, total


def measured(requests: int, seconds: float, *, endpoint: str = "/v1/messages") -> Snapshot:
    """What one replica has."""
    registry = CollectorRegistry()
    counter = Counter("requests", "Requests", ("endpoint", "status"), registry=registry)
    counter.labels(endpoint, "200").inc(requests)
    Gauge("in_flight", "At once", registry=registry).set(requests)
    Histogram("seconds", "Time", registry=registry, buckets=(0.1, 1)).observe(seconds)
    return take(registry)


def shown(snapshot: Snapshot) -> dict[str, float]:
    """What Prometheus reads."""
    return {
        sample.name + "".join(f" {value}" for value in sample.labels.values()): sample.value
        for family in text_string_to_metric_families(exposition(snapshot).decode())
        for sample in family.samples
    }


def test_replicas_are_added_series_by_series() -> None:
    summed = total([measured(2, 0.05), measured(3, 0.5), measured(5, 5.0, endpoint="/metrics")])

    assert shown(summed) == {
        "requests_total /v1/messages 200": 5,
        "requests_total /metrics 200": 5,
        "in_flight": 10,
        "seconds_bucket 0.1": 1,
        "seconds_bucket 1.0": 2,
        "seconds_bucket +Inf": 3,
        "seconds_count": 3,
        "seconds_sum": pytest.approx(5.55),
    }


def test_adding_changes_nothing_of_what_is_added() -> None:
    one, other = measured(2, 0.05), measured(3, 0.5)
    before = pickle.dumps((one, other))
    total([one, other])

    assert pickle.dumps((one, other)) == before


def test_metrics_keep_their_kind_and_their_words() -> None:
    text = exposition(measured(1, 0.05)).decode()

    assert "# HELP requests_total Requests\n# TYPE requests_total counter\n" in text
    assert "# TYPE in_flight gauge\n" in text
    assert "# TYPE seconds histogram\n" in text


def test_when_a_series_began_is_not_told() -> None:
    """A sum over replicas that came and went has no beginning."""
    assert "_created" not in exposition(measured(1, 0.05)).decode()


def test_gauges_are_told_from_what_is_counted() -> None:
    assert set(counted(measured(1, 0.05))) == {"requests", "seconds"}
    assert set(gauges(measured(1, 0.05))) == {"in_flight"}


def test_what_happened_since_and_how_things_stand() -> None:
    later = since(measured(5, 0.5), measured(2, 0.05))

    assert shown(later)["requests_total /v1/messages 200"] == 3
    assert shown(later)["in_flight"] == 5


def test_what_was_not_there_before_is_all_new() -> None:
    assert since(measured(5, 0.5), {}) == measured(5, 0.5)
