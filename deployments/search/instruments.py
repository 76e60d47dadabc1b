"""What is measured of searches."""

import asyncio
from collections.abc import Awaitable
from typing import Protocol, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

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


class _Degradable(Protocol):
    """An answer to a search, or for a context."""

    @property
    def degraded(self) -> bool:
        """Whether what is in it was found by words alone."""


Answer = TypeVar("Answer", bound=_Degradable)


class Outcomes:
    """What comes of each search, or of each context."""

    def __init__(self, name: str, documentation: str, registry: CollectorRegistry | None) -> None:
        self._counter = Counter(name, documentation, ("outcome",), registry=registry)
        # Told as none from the start: the first to come is an increase.
        for outcome in (FAILED, GIVEN_UP):
            self._counter.labels(outcome)

    async def of(self, answering: Awaitable[Answer]) -> Answer:
        """The answer, counted by what it is; what keeps it away is counted and raised."""
        try:
            answer = await answering
        except asyncio.CancelledError:
            # Nobody waits any more: the client has gone, or Ingress has waited for as long as it may.
            self._counter.labels(GIVEN_UP).inc()
            raise
        except Exception:
            self._counter.labels(FAILED).inc()
            raise
        self._counter.labels(WORDS_ONLY if answer.degraded else WHOLE).inc()
        return answer


class SearchInstruments:
    """The instruments of one search replica. Without a registry nobody is told."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.searches = Outcomes(
            "memory_searches",
            "Searches, those of contexts too: whole, by words only since the query had no embedding, failed, given up",
            registry,
        )
        self.contexts = Outcomes("memory_contexts", "Contexts: as searches, by what was searched for them", registry)
        stages = Histogram(
            "memory_search_stage_duration_seconds",
            "Time that a search spends: its query's embedding, its index being brought up to date, SQL in place of an "
            "index, the ranking, the reranker",
            ("stage",),
            registry=registry,
            buckets=STAGE_BUCKETS,
        )
        self.embed, self.sql, self.rank = (stages.labels(stage) for stage in ("embed", "sql", "rank"))
        self.index, self.rerank = stages.labels("index"), stages.labels("rerank")
        self.rerankings = Counter(
            "memory_rerankings",
            "Searches with a reranker: reranked, or in the order before it for the reason that the outcome names",
            ("outcome",),
            registry=registry,
        )
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

    def audited(self, tenant_size: str, outcome: str) -> None:
        """An audit has ended."""
        self._audits.labels(tenant_size, outcome).inc()

    def compared(self, tenant_size: str, reference: str, recall: float) -> None:
        """An audit has found so much of what is nearest: 0 to 1."""
        self._recall.labels(tenant_size, reference).observe(recall)
        self.audited(tenant_size, COMPARED)


class IndexInstruments:
    """The instruments of one search replica's indexes in memory. Without a registry nobody is told."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.bytes = Gauge("memory_index_bytes", "What the indexes in memory take, in bytes", registry=registry)
        self.tenants = Gauge("memory_index_tenants", "Tenants whose index is in memory", registry=registry)
        self.evictions = Counter(
            "memory_index_evictions", "Indexes that left memory for others that were asked for", registry=registry
        )
        self.loads = Counter(
            "memory_index_loads", "Tenants that were read whole: loaded, too_large", ("outcome",), registry=registry
        )
        self.load_seconds = Histogram(
            "memory_index_load_duration_seconds",
            "Time that it takes to read a tenant whole",
            registry=registry,
            buckets=STAGE_BUCKETS,
        )
