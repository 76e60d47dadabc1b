"""Instruments of the ingress deployment."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from deployments.rate_limits.limiter import LimitCounts
from deployments.runtime.metrics.replica import ReplicaMetrics
from deployments.storage.messages.repository import StoreCounts

DURATION_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


@dataclass(frozen=True)
class IngressMetrics:
    """The metrics of this replica, and a function that returns those of the whole cluster."""

    replica: ReplicaMetrics
    instruments: "IngressInstruments"
    text: Callable[[], Awaitable[bytes]]


class IngressInstruments:
    """The instruments of one ingress replica."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.requests = Counter(
            "http_requests", "Requests that have ended", ("method", "endpoint", "status"), registry=registry
        )
        self.durations = Histogram(
            "http_request_duration_seconds",
            "Time from a request's arrival to the end of its answer",
            ("method", "endpoint"),
            registry=registry,
            buckets=DURATION_BUCKETS,
        )
        self.in_flight = Gauge("http_requests_in_flight", "Requests that are being answered", registry=registry)
        self._created = Counter("messages_created", "Messages stored over the API", registry=registry)
        self._refusals = Counter(
            "rate_limit_refusals", "Requests refused, by the limit that refused them", ("limit",), registry=registry
        )
        self._quota_refusals = Counter(
            "quota_refusals", "Messages and changes refused, by the code of the quota", ("code",), registry=registry
        )
        self._fallbacks = Counter(
            "rate_limit_fallback", "Takes that a replica counted by itself, without the shared count", registry=registry
        )

    def store_counts(self) -> StoreCounts:
        """Return the counters of stores and of quota refusals."""
        return StoreCounts(stored=self._created.inc, refused=lambda code: self._quota_refusals.labels(code).inc())

    def limit_counts(self) -> LimitCounts:
        """Return the counters of the rate limiter."""
        return LimitCounts(refused=lambda kind: self._refusals.labels(kind).inc(), fell_back=self._fallbacks.inc)
