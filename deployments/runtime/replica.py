"""What every replica has, whatever it serves: its log, its spans, its measures, and what it is replaced by."""

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
    """What each deployment's class is: Serve asks for its health, Ingress for what keeps it from its work."""

    def __init__(self, deployment: str, settings: Settings) -> None:
        configure_logging(settings.runtime, deployment)
        self.liveness = Liveness()
        self._tracing = start_tracing(deployment)
        self._metrics = ReplicaMetrics(deployment, enabled=settings.runtime.metrics_enabled)

    # Not a plain function: that would be called beside the event loop, and say nothing about it.
    async def check_health(self) -> None:
        """Called by Serve, which replaces a replica whose check fails three times in a row."""
        self.liveness.check()

    async def probe(self) -> str | None:
        """What keeps this replica from its work, in a sentence that may be shown to anyone; None: nothing."""
        return self.liveness.problem()

    def _report_to(self, metrics: DeploymentHandle[Any]) -> None:
        """Report what is measured from now on. Needs a running loop."""
        self._metrics.report(RemoteMethod(metrics, "push", UnavailableError, PUSH_TIMEOUT_SECONDS))
        self.liveness.watch("reporting its metrics", self._metrics.reporting)

    async def _end(self) -> None:
        """Report for the last time, and export the last spans."""
        await self._metrics.stop()
        await self._tracing.stop()
