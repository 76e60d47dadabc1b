"""Replicas, by their own metrics."""

from deploy.grafana.panels import Panels, Query, lines
from deploy.grafana.promql import rate


def panels() -> Panels:
    """Return the row's panels, from left to right."""
    return (
        lines(
            "Replicas",
            "That have reported in the last 15 seconds.",
            "short",
            Query("sum by (deployment) (replicas)", "{{deployment}}"),
        ),
        lines(
            "Processor",
            "Cores in use, all replicas of a deployment together.",
            "short",
            Query(rate("replica_cpu_seconds_total", "deployment"), "{{deployment}}"),
            stacked=True,
        ),
        lines(
            "Memory",
            "Resident, all replicas of a deployment together.",
            "bytes",
            Query("sum by (deployment) (replica_resident_memory_bytes)", "{{deployment}}"),
            stacked=True,
        ),
    )
