"""The Scoring deployment."""

from collections.abc import Sequence
from typing import Any

import structlog
from opentelemetry.trace import SpanContext
from ray.serve.handle import DeploymentHandle

from deployments.runtime.replica import Replica
from deployments.scoring.importance import importance
from deployments.scoring.scorable import Scorable
from deployments.settings import Settings
from deployments.tracing.spans import BATCH_SIZE, served

logger = structlog.get_logger(__name__)


class ScoringServer(Replica):
    """Computes the importance of messages."""

    async def __init__(self, metrics: DeploymentHandle[Any]) -> None:  # type: ignore[misc]  # Serve awaits it
        settings = Settings.load()
        super().__init__("Scoring", settings)
        self._report_to(metrics)

    async def score(
        self, messages: Sequence[Scorable], request_ids: Sequence[str], trace: SpanContext | None = None
    ) -> list[float]:
        """Return the importance of each message, 0 to 1, in order. `trace`: the span that waits for it."""
        with served("Scoring.score", trace, {BATCH_SIZE: len(messages)}):
            scores = [importance(role=m.role, content=m.content, name=m.name) for m in messages]
            logger.info("messages_scored", count=len(scores), request_ids=request_ids)
        return scores

    async def __del__(self) -> None:
        await self._end()
