"""The scoring deployment."""

from collections.abc import Sequence
from typing import Any

import structlog
from ray.serve.handle import DeploymentHandle

from deployments.errors import UnavailableError
from deployments.handles import RemoteMethod
from deployments.logs import configure_logging
from deployments.metrics.replica import ReplicaMetrics
from deployments.metrics.reporter import PUSH_TIMEOUT_SECONDS
from deployments.scoring.importance import importance
from deployments.scoring.scorable import Scorable
from deployments.settings import Settings

logger = structlog.get_logger(__name__)


class ScoringServer:
    """Says how much messages are worth keeping."""

    async def __init__(self, metrics: DeploymentHandle[Any]) -> None:  # type: ignore[misc]  # Serve awaits it
        settings = Settings.load()
        configure_logging(settings.runtime, "Scoring")
        self._metrics = ReplicaMetrics("Scoring", enabled=settings.runtime.metrics_enabled)
        self._metrics.report(RemoteMethod(metrics, "push", UnavailableError, PUSH_TIMEOUT_SECONDS))

    async def score(self, messages: Sequence[Scorable], request_ids: Sequence[str]) -> list[float]:
        """0 to 1 for each message, in order."""
        scores = [importance(role=m.role, content=m.content, name=m.name) for m in messages]
        logger.info("messages_scored", count=len(scores), request_ids=request_ids)
        return scores

    def __del__(self) -> None:
        self._metrics.stop()
