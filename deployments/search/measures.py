"""What is measured of searches."""

from prometheus_client import CollectorRegistry, Counter, Histogram

STAGE_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

WHOLE = "whole"
WORDS_ONLY = "words_only"
FAILED = "failed"


class SearchMeasures:
    """The instruments of one search replica. Without a registry nobody is told."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self._searches = Counter(
            "memory_searches",
            "Searches, those of contexts included: whole, by words only because the query had no embedding, or failed",
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
        self.failures = self._searches.labels(FAILED)
        self.context_failures = self._contexts.labels(FAILED)

    def searched(self, *, degraded: bool) -> None:
        """A search was answered."""
        self._searches.labels(_outcome(degraded=degraded)).inc()

    def assembled(self, *, degraded: bool) -> None:
        """A context was answered."""
        self._contexts.labels(_outcome(degraded=degraded)).inc()


def _outcome(*, degraded: bool) -> str:
    return WORDS_ONLY if degraded else WHOLE
