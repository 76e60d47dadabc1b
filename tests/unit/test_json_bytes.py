"""Models are written as pydantic writes them."""

import json
from datetime import UTC, datetime, timedelta, timezone
from math import inf, nan
from uuid import uuid4

import numpy as np
import pytest
from asyncpg.pgproto import pgproto
from pydantic import BaseModel

from deployments.runtime.json_bytes import json_of
from deployments.schemas.context import ContextAnswer, ContextItem, Reason
from deployments.schemas.messages import EmbeddingStatus, Message, NewMessage, Role
from deployments.schemas.search import Neighbor, SearchAnswer, SearchHit
from serve_app.edge.http_errors import ErrorBody
from serve_app.routes.messages import Accepted, BatchAnswer, Rejected

NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)
ZONES = [UTC, timezone(timedelta(hours=5, minutes=30)), timezone(-timedelta(hours=8)), timezone(timedelta())]
METADATA = {"text": "Grüße 🌍\n\"'\u2028</script>", "n": [1, -0.0, 1e-7, 0.1 + 0.2, 2**53, True, None], "of": {"a": {}}}


def message(created_at: datetime) -> Message:
    return Message(
        id=uuid4(),
        tenant_id="acme",
        conversation_id="c1",
        role=Role.USER,
        name=None,
        content="x",
        metadata=METADATA,
        importance_score=0.62,
        embedding_status=EmbeddingStatus.PENDING,
        archived=False,
        created_at=created_at,
        updated_at=NOON + timedelta(microseconds=7),
    )


def read_from_postgres() -> Message:
    return message(NOON).model_copy(update={"id": pgproto.UUID(str(uuid4()))})


def hit(score: float) -> SearchHit:
    said = {"message_id": uuid4(), "role": Role.TOOL, "name": "Ada", "content": "x", "created_at": NOON}
    return SearchHit(
        **said,
        conversation_id="c1",
        metadata=METADATA,
        score=score,
        similarity=None,
        importance=1.0,
        explanation={"words": 0.22},
        neighbors=[Neighbor(**said)],
    )


def context() -> ContextAnswer:
    item = ContextItem(
        message_id=uuid4(),
        conversation_id="c1",
        role=Role.USER,
        name=None,
        content="x",
        created_at=NOON,
        tokens=3,
        reasons=list(Reason),
    )
    return ContextAnswer(token_budget=9, tokens_used=3, degraded=False, omitted=0, items=[item], text="Ada: x\n")


def batch() -> BatchAnswer:
    error = ErrorBody(code="c", message="m", request_id=None, details=[{"location": ["a", 0], "message": "m"}])
    return BatchAnswer(
        accepted=1, rejected=1, items=[Accepted(message=message(NOON)), Rejected(status=413, error=error)]
    )


def as_sent(created_at: str) -> Message:
    """Make a message with the time that a client wrote."""
    body = {"tenant_id": "a", "conversation_id": "c", "role": "user", "content": "x", "created_at": created_at}
    new = NewMessage.model_validate_json(json.dumps(body))
    assert new.created_at is not None
    return message(new.created_at)


@pytest.mark.parametrize(
    "model",
    [
        *(message(NOON.astimezone(zone)) for zone in ZONES),
        *map(as_sent, ("2024-01-01T00:00:00Z", "2024-01-01T00:00:00.25+02:00", "2024-01-01T00:00:00-00:00")),
        SearchAnswer(total=1, degraded=True, items=[hit(0.71)]),
        SearchAnswer(total=2, items=[hit(nan), hit(inf)]),
        read_from_postgres(),
        context(),
        batch(),
    ],
    ids=lambda model: type(model).__name__,
)
def test_the_bytes_are_those_of_pydantic(model: BaseModel) -> None:
    assert json_of(model) == model.model_dump_json().encode()


@pytest.mark.parametrize("number", [np.float64(0.5), np.float32(0.5)])
def test_a_score_of_numpy_is_a_number(number: float) -> None:
    written = json_of(SearchAnswer.model_construct(total=1, items=[hit(0.7).model_copy(update={"score": number})]))

    assert json.loads(written)["items"][0]["score"] == 0.5
