"""Check that the connection pools of all replicas fit into Postgres' connection limit."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from deployments.errors import ConfigurationError
from deployments.runtime.capacity import Capacity
from deployments.settings import Settings
from deployments.storage.postgres.database import pool_size

# Each embedding replica listens for new messages on a connection of its own.
LISTENING = 1
# A retention job works on one connection and holds its lock on another.
RETENTION = 2
# An ingress replica checks the health of the database on a connection of its own.
PROBING = 1
# Metrics reads the database totals on a connection of its own.
METRICS = 1

# Serve's defaults for the maximum: of `num_replicas: auto`, and of an `autoscaling_config` without one.
AUTO_MOST_REPLICAS, AUTOSCALING_MOST_REPLICAS = 100, 1


@dataclass(frozen=True)
class Demand:
    """Connections that one deployment may open: its maximum number of replicas times the connections of each."""

    deployment: str
    replicas: int
    connections: int

    @property
    def total(self) -> int:
        """Return the connections of all its replicas."""
        return self.replicas * self.connections

    def __str__(self) -> str:
        return f"{self.deployment} {self.replicas} x {self.connections}"


def demands(capacity: Capacity, settings: Settings, replicas: Mapping[str, int]) -> list[Demand]:
    """Return what each deployment may open on the main database. `replicas`: the maximum number of each."""
    connections = {
        "Ingress": pool_size(settings.database, capacity.ingress.pool.size).max_size + PROBING,
        "Embedding": pool_size(settings.database, capacity.embedding.pool.size).max_size + LISTENING,
        "Retention": RETENTION,
        "Metrics": METRICS,
    }
    if settings.database.read_url is None:
        connections["Search"] = pool_size(settings.database, capacity.search.pool.size).max_size
    return [Demand(name, replicas.get(name, 1), count) for name, count in connections.items()]


def check_demands(wanted: list[Demand], allowed: int) -> None:
    """Raise `ConfigurationError` when the pools add up to more than `allowed` connections."""
    total = sum(demand.total for demand in wanted)
    if total > allowed:
        parts = ", ".join(map(str, wanted))
        raise ConfigurationError(
            f"The connection pools add up to {total} ({parts}), but Postgres allows {allowed}: lower the pools or the "
            "replicas in serve_config.yaml (or MEMORY_DATABASE_POOL_SIZE), or raise max_connections"
        )


def most_replicas(details: Mapping[str, Any], application: str) -> dict[str, int]:
    """Return the maximum number of replicas of each deployment, from Serve's own status."""
    deployments = details["applications"][application]["deployments"]
    return {name: _most(each["deployment_config"]) for name, each in deployments.items()}


def configured_replicas(application: Mapping[str, Any]) -> dict[str, int]:
    """Return the same from an application of `serve_config.yaml`. Raises `ConfigurationError`."""
    return {each["name"]: _most(each) for each in application.get("deployments") or []}


def _most(config: Mapping[str, Any]) -> int:
    """Return the maximum as Serve reads it: `autoscaling_config` wins, and `auto` has a maximum of its own."""
    replicas, autoscaling = config.get("num_replicas"), config.get("autoscaling_config")
    try:
        if replicas == "auto" or autoscaling:
            unsaid = AUTO_MOST_REPLICAS if replicas == "auto" else AUTOSCALING_MOST_REPLICAS
            replicas = (autoscaling or {}).get("max_replicas", unsaid)
        return 1 if replicas is None else int(replicas)
    except (AttributeError, TypeError, ValueError, OverflowError):
        raise ConfigurationError("The number of replicas of a deployment in the Serve config is no number") from None
