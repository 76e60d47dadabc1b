"""Ray Serve and HAProxy, by the metrics that Ray's nodes export."""

from deploy.grafana.panels import Limit, Panels, Query, lines
from deploy.grafana.promql import SERVE, quantile, rate


def panels() -> Panels:
    """Return the row's panels, from left to right."""
    target = f"max by (deployment) (ray_serve_autoscaling_target_replicas{{{SERVE}}})"
    healthy = f"sum by (deployment) (ray_serve_deployment_replica_healthy{{{SERVE}}})"
    lag = "ray_serve_event_loop_scheduling_latency_ms"
    return (
        lines(
            "Replicas that are missing",
            "What Serve is to run, fixed or autoscaled, less what is healthy.",
            "short",
            Query(f"{target} - {healthy}", "{{deployment}}"),
            limits=(Limit(1),),
        ),
        lines(
            "Different replicas in half an hour",
            "More than there are: some were replaced, by a new version or because they died.",
            "short",
            Query(
                f"count by (deployment) (count_over_time(ray_serve_deployment_replica_starts_total{{{SERVE}}}[30m]))",
                "{{deployment}}",
            ),
        ),
        lines(
            "Calls between deployments, p95",
            "Time at the replica, of one call: it may hold many searches.",
            "ms",
            Query(
                quantile(0.95, "ray_serve_deployment_processing_latency_ms", "deployment", SERVE),
                "{{deployment}}",
            ),
        ),
        lines(
            "Lag of the event loops, p95",
            "How late a replica comes to what is due: more than some tens of milliseconds, and everything in it waits.",
            "ms",
            Query(quantile(0.95, lag, "deployment", f'{SERVE}, loop_type="main"'), "{{deployment}}"),
        ),
        lines(
            "Replicas behind HAProxy",
            "That it sends requests to, on each node: it answers 503 by itself where there is none.",
            "short",
            Query('sum by (instance) (haproxy_backend_active_servers{proxy="http-memory"})', "{{instance}}"),
        ),
        lines(
            "HAProxy's answers",
            "By class, those included that no replica has seen.",
            "reqps",
            Query(rate("haproxy_frontend_http_responses_total", "code", 'proxy="http_frontend"'), "{{code}}"),
            stacked=True,
        ),
        lines(
            "Processor of each node",
            "All that runs there.",
            "percent",
            Query("max by (ip) (ray_node_cpu_utilization)", "{{ip}}"),
            most=100,
        ),
        lines(
            "Memory of each node",
            "In use; Ray ends workers from 95 % on.",
            "percentunit",
            Query("max by (ip) (ray_node_mem_used / ray_node_mem_total)", "{{ip}}"),
            limits=(Limit(0.95),),
            most=1,
        ),
        lines(
            "A turn of Serve's controller",
            "What starts, checks and replaces replicas. Seconds: Serve itself is late.",
            "s",
            Query("max(ray_serve_controller_control_loop_duration_s)", "a turn"),
        ),
    )
