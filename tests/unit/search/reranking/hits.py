"""Hits in the ranking's order."""

from datetime import UTC, datetime
from uuid import UUID

from deployments.schemas.messages import Role
from deployments.schemas.search import SearchHit


def hit(number: int, content: str | None = None, *, explain: bool = False) -> SearchHit:
    """The `number`-th best of a ranking."""
    score = 1.0 - number / 100
    return SearchHit(
        message_id=UUID(int=number),
        conversation_id="c1",
        role=Role.USER,
        name="Ada",
        content=f"content{number}" if content is None else content,
        metadata={},
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        score=score,
        similarity=None,
        importance=None,
        explanation={"similarity": score - 0.25, "words": 0.25} if explain else None,
    )


def numbers(hits: list[SearchHit]) -> list[int]:
    """Which hits they are."""
    return [each.message_id.int for each in hits]
