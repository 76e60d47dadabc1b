"""The scoring deployment."""

from collections.abc import Sequence
from typing import Any

import structlog
from opentelemetry.trace import SpanContext
from ray.serve.handle import DeploymentHandle

from deployments.errors import UnavailableError
from deployments.handles import RemoteMethod
from deployments.logs import configure_logging
from deployments.metrics.replica import ReplicaMetrics
from deployments.metrics.reporter import PUSH_TIMEOUT_SECONDS
from deployments.replica import Replica
from deployments.scoring.importance import importance
from deployments.scoring.scorable import Scorable
from deployments.settings import Settings
from deployments.tracing.exporting import start_tracing
from deployments.tracing.spans import BATCH_SIZE, served

logger = structlog.get_logger(__name__)


class ScoringServer(Replica):
    """Says how much messages are worth keeping."""

    async def __init__(self, metrics: DeploymentHandle[Any]) -> None:  # type: ignore[misc]  # Serve awaits it
        super().__init__()
        settings = Settings.load()
        configure_logging(settings.runtime, "Scoring")
        self._tracing = start_tracing("Scoring")
        self._metrics = ReplicaMetrics("Scoring", enabled=settings.runtime.metrics_enabled)
        self._metrics.report(RemoteMethod(metrics, "push", UnavailableError, PUSH_TIMEOUT_SECONDS))
        self.vitals.watch("reporting its metrics", self._metrics.reporting)

    async def score(
        self, messages: Sequence[Scorable], request_ids: Sequence[str], trace: SpanContext | None = None
    ) -> list[float]:
        """0 to 1 for each message, in order. `trace`: the span that waits for them."""
        with served("Scoring.score", trace, {BATCH_SIZE: len(messages)}):
            scores = [importance(role=m.role, content=m.content, name=m.name) for m in messages]
            logger.info("messages_scored", count=len(scores), request_ids=request_ids)
        return scores

    async def __del__(self) -> None:
        self._metrics.stop()
        await self._tracing.stop()
