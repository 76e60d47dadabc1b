"""Messages by their callers' names (external ids): put, batch put, batch get, batch delete."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Header, Response
from pydantic import (
    BaseModel,
    ConfigDict,
    TypeAdapter,
)

from deployments.errors import MemoryLayerError, NotFoundError
from deployments.schemas.messages import MESSAGE_EXAMPLE, Message
from deployments.schemas.named_messages import PUT_EXAMPLE, NamedMessages, PutMessage, SentPut
from deployments.storage.messages.drafts import draft
from deployments.storage.messages.named_messages import Put
from serve_app.edge.auth import Reads, Writes
from serve_app.edge.http_errors import ErrorBody, error_responses
from serve_app.edge.json_response import json_response
from serve_app.edge.preconditions import TAGGED, IfUnchanged, tagged_response
from serve_app.edge.rate_limits import TenantLimited
from serve_app.routes.batches import SIZE, batch_response, described_as, judged_by, rejected
from serve_app.routes.dependencies import MessageIds, RequestId, ServicesOf
from serve_app.routes.messages import Rejected, drafts_of

router = APIRouter(prefix="/v1/messages", tags=["messages"], route_class=TenantLimited)

_put_message: TypeAdapter[PutMessage] = TypeAdapter(SentPut)
_ID = "0199d2a4-7a52-7c3e-9b1f-2f9f3f6f8a10"


class PutBatch(BaseModel):
    """Messages to put. Each is validated individually, in order."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"messages": [PUT_EXAMPLE]}]})

    messages: Annotated[list[Annotated[Any, judged_by(_put_message)]], SIZE, described_as("PutMessage")]


class PutItem(BaseModel):
    """A message that was created (201), or that is now as it was put (200)."""

    status: Literal[200, 201]
    message: Message


class PutBatchAnswer(BaseModel):
    """The result of each message, in order."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"accepted": 1, "rejected": 0, "items": [{"status": 201, "message": MESSAGE_EXAMPLE}]}]
        }
    )

    accepted: int
    rejected: int
    items: list[PutItem | Rejected]


class FoundItem(BaseModel):
    """A message that exists."""

    status: Literal[200] = 200
    message: Message


class DeletedItem(BaseModel):
    """A message that was deleted."""

    status: Literal[200] = 200
    id: UUID
    external_id: str | None


class MissingItem(BaseModel):
    """A name without a message."""

    status: Literal[404] = 404
    error: ErrorBody


class FoundMessages(BaseModel):
    """The message of each name, in order."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"found": 1, "missing": 0, "items": [{"status": 200, "message": MESSAGE_EXAMPLE}]}]
        }
    )

    found: int
    missing: int
    items: list[FoundItem | MissingItem]


class DeletedMessages(BaseModel):
    """The result of each name, in order. Of a repeated name only the first one counts."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"deleted": 1, "missing": 0, "items": [{"status": 200, "id": _ID, "external_id": "crm-4711"}]},
            ]
        }
    )

    deleted: int
    missing: int
    items: list[DeletedItem | MissingItem]


@router.put(
    "",
    response_model=Message,
    responses={
        **error_responses(400, 409, 412, 413, 422),
        200: TAGGED,
        201: {"model": Message, "description": "There was no message of this external id: it is stored.", **TAGGED},
    },
    dependencies=[Writes],
)
async def put_message(
    new: SentPut,
    services: ServicesOf,
    request_id: RequestId,
    ids: MessageIds,
    precondition: IfUnchanged,
    if_none_match: Annotated[
        str | None,
        Header(
            alias="If-None-Match",
            pattern=r"^\*$",
            description="`*`: only if there is no message of this external id; else 412.",
        ),
    ] = None,
) -> Response:
    """Store a message, or replace the one with the same `external_id`.

    The id stays, and so does `created_at` if it is omitted; everything else is replaced. New content is embedded and
    scored again, and an archived message is restored. A put without changes writes nothing.
    """
    drafted = draft(new, request_id, datetime.now(UTC), next(ids))
    if precondition is None:
        (put,) = await services.named_messages.put([drafted], only_new=if_none_match is not None)
    else:
        put = await services.named_messages.put_if(drafted, precondition)
    if isinstance(put, MemoryLayerError):
        raise put
    return tagged_response(put.message, 201 if put.created else 200)


@router.put(
    "/batch",
    response_model=PutBatchAnswer,
    responses={
        **error_responses(400, 413, 422),
        207: {"model": PutBatchAnswer, "description": "Some were put, some were not: see the items."},
    },
    dependencies=[Writes],
)
async def put_batch(batch: PutBatch, services: ServicesOf, request_id: RequestId, ids: MessageIds) -> Response:
    """Put up to 1,000 messages, each like a single put. New ones are stored together, others replaced one by one."""
    drafts = drafts_of(batch.messages, request_id, ids)
    puts = await services.named_messages.put(list(drafts.values())) if drafts else []
    answers = dict(zip(drafts, puts, strict=True))
    items = [
        _put_item(answer) if isinstance(answer, Put) else rejected(Rejected, answer, request_id)
        for answer in (answers.get(place, each) for place, each in enumerate(batch.messages))
    ]
    return batch_response(PutBatchAnswer, items, 200)


@router.post("/get", response_model=FoundMessages, responses=error_responses(400, 413, 422), dependencies=[Reads])
async def get_messages(names: NamedMessages, services: ServicesOf, request_id: RequestId) -> Response:
    """Get up to 1,000 messages by their ids, or by their external ids."""
    found = await services.named_messages.get(names.seen, names.ids, names.external_ids)
    items = [_missing(request_id) if each is None else FoundItem.model_construct(message=each) for each in found]
    missing = found.count(None)
    answer = FoundMessages.model_construct(found=len(items) - missing, missing=missing, items=items)
    return json_response(answer)


@router.post("/delete", response_model=DeletedMessages, responses=error_responses(400, 413, 422), dependencies=[Writes])
async def delete_messages(names: NamedMessages, services: ServicesOf, request_id: RequestId) -> Response:
    """Delete up to 1,000 messages by their ids, or by their external ids. Search no longer finds them."""
    deleted = await services.named_messages.delete(names.seen, names.ids, names.external_ids)
    items = [
        _missing(request_id) if each is None else DeletedItem.model_construct(id=each.id, external_id=each.external_id)
        for each in deleted
    ]
    missing = deleted.count(None)
    answer = DeletedMessages.model_construct(deleted=len(items) - missing, missing=missing, items=items)
    return json_response(answer)


def _put_item(put: Put) -> PutItem:
    return PutItem.model_construct(status=201 if put.created else 200, message=put.message)


def _missing(request_id: str | None) -> MissingItem:
    error = ErrorBody(code=NotFoundError.code, message="There is no such message.", request_id=request_id)
    return MissingItem(error=error)
