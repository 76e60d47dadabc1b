"""Checks whether the connection pools of all replicas fit into Postgres' limit."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from deployments.runtime.connection_budget import configured_replicas, demands, most_replicas
from deployments.settings import Settings
from deployments.storage.inspection import ConnectionLimits
from jobs.doctor.cluster import application_in
from jobs.doctor.findings import Finding, problem, skipped, warning, well
from jobs.doctor.serve_config import application_of, capacity_of

CHECK = "connections"
ADVICE = "Lower the pools or replicas in serve_config.yaml (or MEMORY_DATABASE_POOL_SIZE), or raise max_connections."


@dataclass(frozen=True)
class Plan:
    """A source of replica numbers, the capacity of each replica, and each deployment's maximum number of replicas."""

    source: str
    application: Mapping[str, Any]
    replicas: Mapping[str, int]


@dataclass(frozen=True)
class Plans:
    """The plans of the Serve config and of the running Serve, which may differ. None if unknown."""

    config: Mapping[str, Any] | None
    details: Mapping[str, Any] | None

    def all(self) -> Iterator[Plan]:
        """Yield the plans that are known."""
        if self.config is not None and (application := application_of(self.config)):
            yield Plan("serve_config.yaml", application, configured_replicas(application))
        if self.details is not None and (running := application_in(self.details)):
            name, found = running
            yield Plan("the running cluster", found["deployed_app_config"], most_replicas(self.details, name))


def judge_pools(plan: Plan, settings: Settings, limits: ConnectionLimits) -> list[Finding]:
    """Compare the connections of one plan with Postgres' limit."""
    capacity = capacity_of(plan.application)
    if capacity is None:
        return [skipped(CHECK, f"The arguments of {plan.source} make no sense.")]
    wanted = demands(capacity, settings, plan.replicas)
    total = sum(demand.total for demand in wanted)
    sums = f"The pools of {plan.source} add up to {total} ({', '.join(map(str, wanted))})"
    if total > limits.allowed:
        return [problem(CHECK, f"{sums}, but Postgres allows us {limits.allowed}.", ADVICE)]
    if total + limits.others > limits.allowed:
        said = f"{sums}, others hold {limits.others}, and Postgres allows {limits.allowed}."
        return [warning(CHECK, said, ADVICE)]
    return [well(CHECK, f"{sums}; Postgres allows {limits.allowed}.")]
