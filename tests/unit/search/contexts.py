"""Turns and hits, and the contexts that are made of them."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from deployments.schemas.candidates import Turn
from deployments.schemas.context import ContextAnswer, ContextRequest
from deployments.schemas.messages import Role
from deployments.schemas.search import Neighbor, SearchAnswer, SearchHit
from deployments.search.context.selection import assemble

START = datetime(2026, 1, 1, 12, tzinfo=UTC)
PLENTY = 100_000


def turn(number: int, content: str = "", **fields: Any) -> Turn:
    """A turn said so many minutes after noon."""
    parts = {
        "conversation_id": "now",
        "role": Role.USER,
        "name": None,
        "created_at": START + timedelta(minutes=number),
        **fields,
    }
    return Turn(id=UUID(int=number), content=content or f"turn {number}", **parts)


def hit(number: int, content: str = "", score: float = 0.5, around: Sequence[Turn] = (), **fields: Any) -> SearchHit:
    """A hit, of another conversation unless told otherwise."""
    found = turn(number, content or f"memory {number}", **{"conversation_id": "before", **fields})
    neighbors = [
        Neighbor(message_id=each.id, role=each.role, name=each.name, content=each.content, created_at=each.created_at)
        for each in around
    ]
    return SearchHit(
        message_id=found.id,
        **{name: value for name, value in found._asdict().items() if name != "id"},
        metadata={},
        score=score,
        similarity=None,
        importance=None,
        neighbors=neighbors,
    )


def context(
    recent: Sequence[Turn] = (), hits: Sequence[SearchHit] = (), token_budget: int = PLENTY, **fields: Any
) -> ContextAnswer:
    request = ContextRequest(tenant_id="acme", conversation_id="now", token_budget=token_budget, **fields)
    newest_first = sorted(recent, key=lambda each: (each.created_at, each.id), reverse=True)
    return assemble(
        request, newest_first, SearchAnswer(total=len(hits), items=list(hits)), request.query or "", ("en",)
    )


def numbers(answer: ContextAnswer) -> list[int]:
    return [item.message_id.int for item in answer.items]


def reasons(answer: ContextAnswer) -> dict[int, str]:
    return {item.message_id.int: " ".join(item.reasons) for item in answer.items}
