"""Searches: outcomes, stages, recall, reranking."""

from deploy.grafana.panels import Limit, Panels, Query, lines
from deploy.grafana.promql import quantile, rate, total


def panels() -> Panels:
    """Return the row's panels, from left to right."""
    stage = "memory_search_stage_duration_seconds"
    searches = "memory_searches_total"
    degraded = f"""({total(searches, 'outcome="words_only"')} or vector(0)) / {total(searches)}"""
    return (
        lines(
            "Searches",
            "words_only: the query had no embedding in time, and was searched for by its words. given_up: nobody"
            " waited for the answer any more.",
            "ops",
            Query(rate(searches, "outcome"), "{{outcome}}"),
            stacked=True,
        ),
        lines(
            "Stages of a search, p50",
            "The query's embedding, the database, the ranking, the reranker.",
            "s",
            Query(quantile(0.5, stage, "stage"), "{{stage}}"),
        ),
        lines(
            "Stages of a search, p95",
            "Where a slow search spends its time.",
            "s",
            Query(quantile(0.95, stage, "stage"), "{{stage}}"),
        ),
        lines(
            "Degraded searches",
            "Share of searches by words alone.",
            "percentunit",
            Query(degraded, "by words only"),
            limits=(Limit(0.05),),
        ),
        lines(
            "Recall@10, audited",
            "Of the ten nearest messages, the share that searches found, by the tenant's size. Below the line the index"
            " loses results.",
            "percentunit",
            Query(
                "sum by (tenant_size) (rate(memory_search_recall_at_10_sum[1h]))"
                " / sum by (tenant_size) (rate(memory_search_recall_at_10_count[1h]))",
                "{{tenant_size}}",
            ),
            limits=(Limit(0.9, "orange"),),
            most=1,
        ),
        lines(
            "Audits",
            "How comparisons with exact search ended.",
            "ops",
            Query(rate("memory_search_audits_total", "tenant_size, outcome"), "{{tenant_size}} {{outcome}}"),
        ),
        lines(
            "Rerankings",
            "Where a reranker is set. All but reranked were answered in the order before it.",
            "ops",
            Query(rate("memory_rerankings_total", "outcome"), "{{outcome}}"),
            stacked=True,
        ),
    )
