"""The dashboard "Memory service": metrics of the service, its database, Ray Serve and HAProxy."""

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    VariableOption,
    VariableRefresh,
    VariableSort,
)

from deploy.grafana.panels import DATASOURCE
from deploy.grafana.promql import PROBES
from deploy.grafana.rows import embedding, glance, limits, pools, replicas, search, serve, traffic

ROWS = {
    "At a glance": glance,
    "Traffic, errors and latency by endpoint": traffic,
    "Search": search,
    "Embedding": embedding,
    "Database pools and queues": pools,
    "Replicas": replicas,
    "Ray Serve and HAProxy": serve,
    "Limits, retention and erasure": limits,
}


def memory_service() -> dashboard.Dashboard:
    """Return the dashboard with all rows."""
    built = (
        dashboard.Dashboard("Memory service")
        .uid("memory-service")
        .description("The AI memory layer: what to do about what is red is in docs/alerts.md.")
        .tags(["memory", "ray-serve"])
        .timezone("browser")
        .time("now-1h", "now")
        .refresh("30s")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .with_variable(
            dashboard.DatasourceVariable("datasource")
            .label("Prometheus")
            .type("prometheus")
            .current(VariableOption(text="Prometheus", value="Prometheus"))
        )
        .with_variable(
            dashboard.QueryVariable("endpoint")
            .label("Endpoint")
            .datasource(DATASOURCE)
            .query(f'label_values(http_requests_total{{endpoint!~"{PROBES}"}}, endpoint)')
            .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
            .sort(VariableSort.ALPHABETICAL_ASC)
            .multi(True)
            .include_all(True)
            .current(VariableOption(text="All", value="$__all"))
        )
    )
    for title, row in ROWS.items():
        built.with_row(dashboard.Row(title))
        for panel in row.panels():
            built.with_panel(panel)
    return built
