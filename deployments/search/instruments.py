"""Prometheus instruments of the Search deployment."""

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

# Outcomes of an audit, besides FAILED.
COMPARED = "compared"
# No message with a vector passes the search's filters.
NOTHING = "nothing"
# The pool has no spare connection.
BUSY = "busy"
# The comparison exceeded its time limit.
TIMED_OUT = "timed_out"


class _Degradable(Protocol):
    """An answer to a search or a context request."""

    @property
    def degraded(self) -> bool:
        """Return whether only words were searched, without vectors."""


Answer = TypeVar("Answer", bound=_Degradable)


class Outcomes:
    """A counter of searches or contexts by outcome."""

    def __init__(self, name: str, documentation: str, registry: CollectorRegistry | None) -> None:
        self._counter = Counter(name, documentation, ("outcome",), registry=registry)
        # Pre-create the labels so that the first failure shows up in rate().
        for outcome in (FAILED, GIVEN_UP):
            self._counter.labels(outcome)

    async def of(self, answering: Awaitable[Answer]) -> Answer:
        """Await an answer, count its outcome, and return it. Failures and cancellations are counted and raised."""
        try:
            answer = await answering
        except asyncio.CancelledError:
            # Cancelled: the client disconnected or the ingress timed out.
            self._counter.labels(GIVEN_UP).inc()
            raise
        except Exception:
            self._counter.labels(FAILED).inc()
            raise
        self._counter.labels(WORDS_ONLY if answer.degraded else WHOLE).inc()
        return answer


class SearchInstruments:
    """The instruments of one Search replica. Without a registry they are not exported."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.searches = Outcomes(
            "memory_searches",
            "Searches, also for contexts: whole, words_only (query not embedded), failed, given_up (cancelled)",
            registry,
        )
        self.contexts = Outcomes("memory_contexts", "Contexts by outcome, with the outcomes of searches", registry)
        stages = Histogram(
            "memory_search_stage_duration_seconds",
            "Time of each stage of a search: embedding the query, updating the index, SQL instead of an "
            "index, ranking, reranking",
            ("stage",),
            registry=registry,
            buckets=STAGE_BUCKETS,
        )
        self.embed, self.sql, self.rank = (stages.labels(stage) for stage in ("embed", "sql", "rank"))
        self.index, self.rerank = stages.labels("index"), stages.labels("rerank")
        self.rerankings = Counter(
            "memory_rerankings",
            "Searches with a reranker: reranked, or left in the ranking's order for the reason in the outcome",
            ("outcome",),
            registry=registry,
        )
        self._recall = Histogram(
            "memory_search_recall_at_10",
            "Share of the ten nearest messages that an audited search finds by its vector",
            ("tenant_size", "reference"),
            registry=registry,
            buckets=RECALL_BUCKETS,
        )
        self._audits = Counter(
            "memory_search_audits",
            "Searches selected for comparison with exact search",
            ("tenant_size", "outcome"),
            registry=registry,
        )

    def audited(self, tenant_size: str, outcome: str) -> None:
        """Count an audit by its outcome."""
        self._audits.labels(tenant_size, outcome).inc()

    def compared(self, tenant_size: str, reference: str, recall: float) -> None:
        """Count an audit that compared results, and observe its recall, 0 to 1."""
        self._recall.labels(tenant_size, reference).observe(recall)
        self.audited(tenant_size, COMPARED)


class IndexInstruments:
    """The instruments of one Search replica's in-memory indexes. Without a registry they are not exported."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.bytes = Gauge("memory_index_bytes", "Size of the in-memory indexes in bytes", registry=registry)
        self.tenants = Gauge("memory_index_tenants", "Tenants whose index is in memory", registry=registry)
        self.evictions = Counter(
            "memory_index_evictions", "Indexes evicted from memory to make room for others", registry=registry
        )
        self.loads = Counter(
            "memory_index_loads",
            "Full loads of a tenant by outcome: loaded, too_large",
            ("outcome",),
            registry=registry,
        )
        self.load_seconds = Histogram(
            "memory_index_load_duration_seconds",
            "Duration of a full load of a tenant",
            registry=registry,
            buckets=STAGE_BUCKETS,
        )
