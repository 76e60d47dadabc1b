"""Embeddings: calls, backlog, cache, provider."""

from deploy.grafana.panels import Limit, Panels, Query, lines
from deploy.grafana.promql import quantile, rate, total


def panels() -> Panels:
    """Return the row's panels, from left to right."""
    duration, cache = "embedding_generation_duration_seconds", "embedding_cache_queries_total"
    hits = f"""{total(cache, 'outcome=~"hit|joined"')} / {total(cache)}"""
    return (
        lines(
            "Calls to the provider",
            "Time of those that worked, their retries included.",
            "s",
            Query(quantile(0.5, duration, "purpose"), "{{purpose}} p50"),
            Query(quantile(0.95, duration, "purpose"), "{{purpose}} p95"),
            Query(quantile(0.99, duration, "purpose"), "{{purpose}} p99"),
        ),
        lines(
            "Backlog",
            "Messages that wait to be embedded, and those that were given up. Read from the database each ten seconds.",
            "short",
            Query("embeddings_pending", "pending"),
            Query("embeddings_failed", "given up"),
        ),
        lines(
            "Age of the backlog",
            "Since when the oldest message waits.",
            "s",
            Query("embeddings_oldest_pending_seconds", "oldest"),
            limits=(Limit(600),),
        ),
        lines(
            "Messages embedded",
            "completed, postponed to be tried again, failed for good.",
            "ops",
            Query(rate("embedding_messages_total", "outcome"), "{{outcome}}"),
        ),
        lines(
            "Claims",
            "Messages that a worker takes at once. Full batches (128) mean that workers are behind.",
            "short",
            Query(f"{total('embedding_claim_size_sum')} / {total('embedding_claim_size_count')}", "mean"),
            Query(f"histogram_quantile(0.95, {rate('embedding_claim_size_bucket', 'le')})", "p95"),
            limits=(Limit(128, "orange"),),
        ),
        lines(
            "Cache of queries",
            "Share of queries whose embedding was known, or was being made just then.",
            "percentunit",
            Query(hits, "known"),
            most=1,
        ),
        lines(
            "Queries by the cache's answer",
            "hit: known; joined: embedded just then for another search; miss: embedded.",
            "ops",
            Query(rate(cache, "outcome"), "{{outcome}}"),
            stacked=True,
        ),
        lines(
            "Errors of the provider",
            "Calls that failed, after their retries. No series: none has.",
            "ops",
            Query(rate("embedding_provider_errors_total", "purpose, code"), "{{purpose}} {{code}}"),
        ),
        lines(
            "Retries",
            "Requests that were sent once more to a remote provider: grows before calls fail.",
            "reqps",
            Query(total("embedding_provider_retries_total"), "sent again"),
        ),
    )
