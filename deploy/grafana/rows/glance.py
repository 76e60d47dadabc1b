""" "At a glance": eight numbers."""

from deploy.grafana.panels import Limit, Panels, number
from deploy.grafana.promql import PROBES, SERVE, rate, total


def panels() -> Panels:
    """Return the row's panels, from left to right."""
    searches = 'endpoint="/v1/memory/search"'
    missing = (
        f"sum(max by (deployment) (ray_serve_autoscaling_target_replicas{{{SERVE}}}))"
        f" - sum(ray_serve_deployment_replica_healthy{{{SERVE}}})"
    )
    return (
        number(
            "Requests", "Answered, probes left out.", "reqps", total("http_requests_total", f'endpoint!~"{PROBES}"')
        ),
        number(
            "Failed",
            "Share of 5xx over five minutes; the goal is 0.1 % over a month.",
            "percentunit",
            "memory:http_request_errors:ratio_rate5m",
            limits=(Limit(0.001, "orange"), Limit(0.0144)),
        ),
        number(
            "Search, p95",
            "19 of 20 searches take no longer.",
            "s",
            f"histogram_quantile(0.95, {rate('http_request_duration_seconds_bucket', 'le', searches)})",
            limits=(Limit(0.5, "orange"), Limit(1)),
        ),
        number(
            "Oldest without embedding",
            "Found by its words only until it has one.",
            "s",
            "embeddings_oldest_pending_seconds",
            limits=(Limit(60, "orange"), Limit(600)),
        ),
        number(
            "Given up",
            "Messages whose embedding failed ten times: POST /v1/admin/embeddings/retry.",
            "short",
            "embeddings_failed",
            limits=(Limit(1),),
        ),
        number(
            "Missing replicas",
            "Of all deployments, against what Serve is to run.",
            "short",
            missing,
            limits=(Limit(1),),
        ),
        number(
            "Alerts",
            "That fire now: docs/alerts.md.",
            "short",
            'count(ALERTS{alertstate="firing", alertname=~"Memory.+"}) or vector(0)',
            limits=(Limit(1, "orange"),),
        ),
        number("Tenants", "With at least one message.", "short", "tenants"),
    )
