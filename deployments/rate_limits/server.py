"""The rate limits' deployment: the one count of the cluster."""

from collections.abc import Sequence
from typing import Any

from ray.serve.handle import DeploymentHandle

from deployments.errors import UnavailableError
from deployments.handles import RemoteMethod
from deployments.logs import configure_logging
from deployments.metrics.replica import ReplicaMetrics
from deployments.metrics.reporter import PUSH_TIMEOUT_SECONDS
from deployments.rate_limits.counter import Grant, Take, WindowCounter
from deployments.rate_limits.memory_storage import BoundedMemoryStorage
from deployments.settings import Settings


class RateLimitServer:
    """Counts for all ingress replicas. One replica: two would be two counts. Where it dies, its windows begin anew."""

    async def __init__(self, metrics: DeploymentHandle[Any]) -> None:  # type: ignore[misc]  # Serve awaits it
        settings = Settings.load()
        configure_logging(settings.runtime, "RateLimits")
        self._metrics = ReplicaMetrics("RateLimits", enabled=settings.runtime.metrics_enabled)
        self._metrics.report(RemoteMethod(metrics, "push", UnavailableError, PUSH_TIMEOUT_SECONDS))
        self._counter = WindowCounter(BoundedMemoryStorage())

    async def take_many(self, takes: Sequence[Take]) -> list[Grant]:
        """A grant for each take, in order."""
        return await self._counter.take_many(takes)

    def __del__(self) -> None:
        self._metrics.stop()
