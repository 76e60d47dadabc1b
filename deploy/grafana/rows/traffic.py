"""Traffic, errors and latency by endpoint."""

from deploy.grafana.panels import Limit, Panels, Query, lines
from deploy.grafana.promql import CHOSEN, quantile, rate, total


def panels() -> Panels:
    """Return the row's panels, from left to right."""
    duration, by = "http_request_duration_seconds", "method, endpoint"
    call = "{{method}} {{endpoint}}"
    return (
        lines(
            "Requests by endpoint",
            "Answered, by the route's template.",
            "reqps",
            Query(rate("http_requests_total", by, CHOSEN), call),
            stacked=True,
        ),
        lines(
            "Answers that are no success",
            "4xx is what callers did wrong or limits refused (429); 5xx is ours: 503 is to be repeated, 504 took long.",
            "reqps",
            Query(
                rate("http_requests_total", "endpoint, status", f'{CHOSEN}, status!~"2.."'), "{{status}} {{endpoint}}"
            ),
        ),
        lines(
            "Failed requests",
            "Share of 5xx in several windows. Dashed: the month's budget of 0.1 % is gone in five, and in two days.",
            "percentunit",
            Query("memory:http_request_errors:ratio_rate5m", "5 minutes"),
            Query("memory:http_request_errors:ratio_rate1h", "1 hour"),
            Query("memory:http_request_errors:ratio_rate6h", "6 hours"),
            limits=(Limit(0.006, "orange"), Limit(0.0144)),
        ),
        lines(
            "Latency, p50", "Half of the calls take no longer.", "s", Query(quantile(0.5, duration, by, CHOSEN), call)
        ),
        lines(
            "Latency, p95",
            "19 of 20 calls take no longer.",
            "s",
            Query(quantile(0.95, duration, by, CHOSEN), call),
        ),
        lines("Latency, p99", "99 of 100 take no longer.", "s", Query(quantile(0.99, duration, by, CHOSEN), call)),
        lines(
            "Requests in flight",
            "Grows when answers become slower than arrivals.",
            "short",
            Query("http_requests_in_flight", "in flight"),
        ),
        lines(
            "Stored, searched, assembled",
            "Messages stored, searches (those of contexts too) and contexts, however many a request holds.",
            "ops",
            Query(total("messages_created_total"), "messages stored"),
            Query(total("memory_searches_total"), "searches"),
            Query(total("memory_contexts_total"), "contexts"),
        ),
        lines(
            "Contexts",
            "By what was searched for them: whole, by words only, or failed.",
            "ops",
            Query(rate("memory_contexts_total", "outcome"), "{{outcome}}"),
        ),
    )
