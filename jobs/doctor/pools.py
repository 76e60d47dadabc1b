"""Whether the pools of all replicas fit into what Postgres allows."""

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
    """Who says so, what each replica takes on, and the greatest number of replicas of each deployment."""

    source: str
    application: Mapping[str, Any]
    replicas: Mapping[str, int]


@dataclass(frozen=True)
class Plans:
    """The Serve config and what Serve says of itself, None where it is not known: they may differ."""

    config: Mapping[str, Any] | None
    details: Mapping[str, Any] | None

    def all(self) -> Iterator[Plan]:
        """The plans that there are."""
        if self.config is not None and (application := application_of(self.config)):
            yield Plan("serve_config.yaml", application, configured_replicas(application))
        if self.details is not None and (running := application_in(self.details)):
            name, found = running
            yield Plan("the running cluster", found["deployed_app_config"], most_replicas(self.details, name))


def judge_pools(plan: Plan, settings: Settings, limits: ConnectionLimits) -> list[Finding]:
    """What one plan comes to against what Postgres allows."""
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
