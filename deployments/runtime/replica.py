"""Base class of all replicas: logging, tracing, metrics and liveness."""

from typing import Any

from ray.serve.handle import DeploymentHandle

from deployments.errors import UnavailableError
from deployments.runtime.liveness import Liveness
from deployments.runtime.logging import configure_logging
from deployments.runtime.metrics.push import PUSH_TIMEOUT_SECONDS
from deployments.runtime.metrics.replica import ReplicaMetrics
from deployments.runtime.remote import RemoteMethod
from deployments.settings import Settings
from deployments.tracing.exporting import start_tracing


class Replica:
    """Base class of each deployment. Serve calls `check_health`, and Ingress calls `probe`."""

    def __init__(self, deployment: str, settings: Settings) -> None:
        configure_logging(settings.runtime, deployment)
        self.liveness = Liveness()
        self._tracing = start_tracing(deployment)
        self._metrics = ReplicaMetrics(deployment, enabled=settings.runtime.metrics_enabled)

    # Async, so that it runs on the event loop: Serve runs a plain function in a thread, where it cannot detect a hang.
    async def check_health(self) -> None:
        """Raise if the replica is not alive. Serve replaces a replica whose check fails three times in a row."""
        self.liveness.check()

    async def probe(self) -> str | None:
        """Return a user-safe reason why this replica is unhealthy, or None."""
        return self.liveness.problem()

    def _report_to(self, metrics: DeploymentHandle[Any]) -> None:
        """Start to push metrics. Needs a running event loop."""
        self._metrics.report(RemoteMethod(metrics, "push", UnavailableError, PUSH_TIMEOUT_SECONDS))
        self.liveness.watch("reporting its metrics", self._metrics.reporting)

    async def _end(self) -> None:
        """Push metrics for the last time, and export the last spans."""
        await self._metrics.stop()
        await self._tracing.stop()
