"""The rate limits' deployment: the one count of the cluster."""

from collections.abc import Sequence

from deployments.logs import configure_logging
from deployments.rate_limits.counter import Grant, Take, WindowCounter
from deployments.rate_limits.memory_storage import BoundedMemoryStorage
from deployments.replica import Replica
from deployments.settings import Settings


class RateLimitServer(Replica):
    """Counts for all ingress replicas. One replica: two would be two counts. Where it dies, its windows begin anew."""

    def __init__(self) -> None:
        super().__init__()
        configure_logging(Settings.load().runtime, "RateLimits")
        self._counter = WindowCounter(BoundedMemoryStorage())

    async def take_many(self, takes: Sequence[Take]) -> list[Grant]:
        """A grant for each take, in order."""
        return await self._counter.take_many(takes)
