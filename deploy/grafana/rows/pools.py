"""Database connection pools, and the queues of the deployments."""

from deploy.grafana.panels import Limit, Panels, Query, lines
from deploy.grafana.promql import SERVE


def panels() -> Panels:
    """Return the row's panels, from left to right."""
    in_use = 'sum by (deployment) (database_pool_connections{state="in_use"})'
    return (
        lines(
            "Connections in use",
            "Share of those that a deployment may open, over its replicas.",
            "percentunit",
            Query(f"{in_use} / sum by (deployment) (database_pool_size)", "{{deployment}}"),
            limits=(Limit(0.9),),
            most=1,
        ),
        lines(
            "Connections",
            "Open, by what they do; the sizes are in serve_config.yaml.",
            "short",
            Query("sum by (deployment, state) (database_pool_connections)", "{{deployment}} {{state}}"),
            stacked=True,
        ),
        lines(
            "Waiting for a connection",
            "Above zero for long: the pool is too small, or the database too slow.",
            "short",
            Query("sum by (deployment) (database_pool_waiting)", "{{deployment}}"),
            limits=(Limit(1, "orange"),),
        ),
        lines(
            "Waiting for the next batch",
            "Stores, searches, contexts and queries that wait to cross together. Over 1,000 a replica: refused.",
            "short",
            Query("sum by (deployment, queue) (queue_waiting)", "{{deployment}} {{queue}}"),
        ),
        lines(
            "Calls that wait for a replica",
            "Between deployments, before a replica takes them (Serve).",
            "short",
            Query(f"sum by (deployment) (ray_serve_deployment_queued_queries{{{SERVE}}})", "{{deployment}}"),
        ),
        lines(
            "Calls at replicas",
            "Taken on and not answered, of each deployment (Serve).",
            "short",
            Query(f"sum by (deployment) (ray_serve_replica_processing_queries{{{SERVE}}})", "{{deployment}}"),
        ),
    )
