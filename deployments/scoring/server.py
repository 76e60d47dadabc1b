"""The scoring deployment."""

from collections.abc import Sequence

import structlog

from deployments.logs import configure_logging
from deployments.replica import Replica
from deployments.scoring.importance import importance
from deployments.scoring.scorable import Scorable
from deployments.settings import Settings

logger = structlog.get_logger(__name__)


class ScoringServer(Replica):
    """Says how much messages are worth keeping."""

    def __init__(self) -> None:
        super().__init__()
        configure_logging(Settings.load().runtime, "Scoring")

    async def score(self, messages: Sequence[Scorable], request_ids: Sequence[str]) -> list[float]:
        """0 to 1 for each message, in order."""
        scores = [importance(role=m.role, content=m.content, name=m.name) for m in messages]
        logger.info("messages_scored", count=len(scores), request_ids=request_ids)
        return scores
