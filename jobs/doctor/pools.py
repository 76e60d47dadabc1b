"""Whether the pools of all replicas fit into what Postgres allows."""

from collections.abc import Mapping

from deployments.capacity import Capacity
from deployments.connections import Demand, demands
from deployments.settings import Settings
from deployments.storage.inspection import ConnectionLimits
from jobs.doctor.findings import Finding, problem, warning, well

ADVICE = "Lower the pools or replicas in serve_config.yaml (or MEMORY_DATABASE_POOL_SIZE), or raise max_connections."


def judge_pools(
    source: str, capacity: Capacity, replicas: Mapping[str, int], settings: Settings, limits: ConnectionLimits
) -> list[Finding]:
    """`source`: who says so, the file or the running cluster; `replicas`: the greatest number of each deployment."""
    wanted = demands(capacity, settings, replicas)
    total = sum(demand.total for demand in wanted)
    sums = f"The pools of {source} add up to {total} ({_parts(wanted)})"
    if total > limits.allowed:
        return [problem("connections", f"{sums}, but Postgres allows us {limits.allowed}.", ADVICE)]
    if total + limits.others > limits.allowed:
        said = f"{sums}, others hold {limits.others}, and Postgres allows {limits.allowed}."
        return [warning("connections", said, ADVICE)]
    return [well("connections", f"{sums}; Postgres allows {limits.allowed}.")]


def _parts(wanted: list[Demand]) -> str:
    return ", ".join(f"{each.deployment} {each.replicas} x {each.connections}" for each in wanted)
