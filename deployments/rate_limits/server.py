"""The RateLimits deployment: the shared counter of the cluster."""

from collections.abc import Sequence
from typing import Any

from ray.serve.handle import DeploymentHandle

from deployments.rate_limits.counter import Grant, Take, WindowCounter
from deployments.rate_limits.memory_storage import BoundedMemoryStorage
from deployments.runtime.replica import Replica
from deployments.settings import Settings


class RateLimitServer(Replica):
    """Counts for all ingress replicas. It has one replica: two would count apart. A restart resets its windows."""

    async def __init__(self, metrics: DeploymentHandle[Any]) -> None:  # type: ignore[misc]  # Serve awaits it
        settings = Settings.load()
        super().__init__("RateLimits", settings)
        self._report_to(metrics)
        self._counter = WindowCounter(BoundedMemoryStorage())

    async def take_many(self, takes: Sequence[Take]) -> list[Grant]:
        """Return a grant for each take, in order."""
        return await self._counter.take_many(takes)

    async def __del__(self) -> None:
        await self._end()
