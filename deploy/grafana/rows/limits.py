"""Limits, retention and erasure."""

from deploy.grafana.panels import Panels, Query, lines
from deploy.grafana.promql import rate, total


def panels() -> Panels:
    """Return the row's panels, from left to right."""
    return (
        lines(
            "Refused by rate limits",
            "By the limit that refused (429). No series: none has.",
            "reqps",
            Query(rate("rate_limit_refusals_total", "limit"), "{{limit}}"),
        ),
        lines(
            "Counted by replicas alone",
            "Above zero the shared count is away, and each replica counts by itself.",
            "ops",
            Query(total("rate_limit_fallback_total"), "by themselves"),
        ),
        lines(
            "Refused by quotas",
            "Messages and changes, by the quota's code. No series: none has.",
            "ops",
            Query(rate("quota_refusals_total", "code"), "{{code}}"),
        ),
        lines(
            "Retention",
            "Messages that runs dealt with in the last hour. A leap in deleted is worth a look at the run behind it.",
            "short",
            Query("sum by (action) (increase(retention_messages_total[1h]))", "{{action}}"),
        ),
        lines(
            "Retention runs",
            "That ended in the last hour, and those under way.",
            "short",
            Query("sum by (status) (increase(retention_runs_total[1h]))", "{{status}}"),
            Query("retention_runs_running", "running"),
        ),
        lines(
            "Since retention last did its work",
            "And the schedule, where there is one: twice as long is an alert.",
            "s",
            Query("time() - retention_last_completed_timestamp_seconds", "since the last run"),
            Query("retention_schedule_seconds", "schedule"),
        ),
        lines(
            "Erased",
            "Messages that erasures took in the last hour, and erasures that have not ended.",
            "short",
            Query("increase(erased_messages_total[1h])", "messages"),
            Query("erasures_unfinished", "unfinished erasures"),
        ),
    )
