"""What is measured of searches."""

import asyncio
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from prometheus_client import CollectorRegistry, Counter, Histogram

STAGE_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
RECALL_BUCKETS = tuple(tenths / 10 for tenths in range(11))

WHOLE = "whole"
WORDS_ONLY = "words_only"
FAILED = "failed"
GIVEN_UP = "given_up"

# How an audit ends, besides FAILED: no message with a vector passes the search's filters; no connection to
# spare; it took longer than it may.
COMPARED = "compared"
NOTHING = "nothing"
BUSY = "busy"
TIMED_OUT = "timed_out"


class SearchMeasures:
    """The instruments of one search replica. Without a registry nobody is told."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self._searches = Counter(
            "memory_searches",
            "Searches, those of contexts too: whole, by words only since the query had no embedding, failed, given up",
            ("outcome",),
            registry=registry,
        )
        self._contexts = Counter(
            "memory_contexts", "Contexts: as searches, by what was searched for them", ("outcome",), registry=registry
        )
        stages = Histogram(
            "memory_search_stage_duration_seconds",
            "Time that a search spends: its query's embedding, the database, the ranking",
            ("stage",),
            registry=registry,
            buckets=STAGE_BUCKETS,
        )
        self.embed, self.sql, self.rank = (stages.labels(stage) for stage in ("embed", "sql", "rank"))
        # Told as none from the start: the first to come is an increase.
        for family in (self._searches, self._contexts):
            family.labels(FAILED)
            family.labels(GIVEN_UP)
        self._recall = Histogram(
            "memory_search_recall_at_10",
            "Share of the ten nearest messages that a search finds by its vector, of the searches that were audited",
            ("tenant_size", "reference"),
            registry=registry,
            buckets=RECALL_BUCKETS,
        )
        self._audits = Counter(
            "memory_search_audits",
            "Searches that were to be compared with exact search",
            ("tenant_size", "outcome"),
            registry=registry,
        )

    def unanswered_searches(self) -> AbstractContextManager[None]:
        """Counts what keeps the block from its answer."""
        return _unanswered(self._searches)

    def unanswered_contexts(self) -> AbstractContextManager[None]:
        """The same for contexts."""
        return _unanswered(self._contexts)

    def searched(self, *, degraded: bool) -> None:
        """A search was answered."""
        self._searches.labels(_outcome(degraded=degraded)).inc()

    def assembled(self, *, degraded: bool) -> None:
        """A context was answered."""
        self._contexts.labels(_outcome(degraded=degraded)).inc()

    def audited(self, tenant_size: str, outcome: str) -> None:
        """An audit has ended."""
        self._audits.labels(tenant_size, outcome).inc()

    def compared(self, tenant_size: str, reference: str, recall: float) -> None:
        """An audit has found so much of what is nearest: 0 to 1."""
        self._recall.labels(tenant_size, reference).observe(recall)
        self.audited(tenant_size, COMPARED)


@contextmanager
def _unanswered(family: Counter) -> Iterator[None]:
    try:
        yield
    except asyncio.CancelledError:
        # Nobody waits any more: the client has gone, or Ingress has waited for as long as it may.
        family.labels(GIVEN_UP).inc()
        raise
    except Exception:
        family.labels(FAILED).inc()
        raise


def _outcome(*, degraded: bool) -> str:
    return WORDS_ONLY if degraded else WHOLE
