"""Messages: store, batch, get, list, change, delete, and retry the embedding."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Header, Query, Request, Response
from pydantic import AfterValidator, BaseModel, ConfigDict, TypeAdapter

from deployments.schemas.chat import SentChange, SentMessage
from deployments.schemas.messages import MESSAGE_EXAMPLE, Message, MessagePage, NewMessage
from deployments.schemas.search import MessageListing
from deployments.storage.messages.drafts import Draft, draft
from deployments.storage.messages.idempotency_keys import StoreKey
from deployments.storage.messages.repository import Position
from deployments.tenancy import of_bound_user
from serve_app.edge.auth import Reads, Writes
from serve_app.edge.hot_route import HotRoute
from serve_app.edge.http_errors import error_responses
from serve_app.edge.json_response import json_response
from serve_app.edge.preconditions import TAGGED, IfUnchanged, tag_header, tagged_response
from serve_app.edge.rate_limits import TenantLimited
from serve_app.routes.batches import SIZE, RejectedItem, batch_response, described_as, judged_by, rejected
from serve_app.routes.cursors import decode_cursor, page_of
from serve_app.routes.dependencies import MessageIds, OnlyTenant, RequestId, ServicesOf
from serve_app.routes.refreshing import RefreshTtl, refreshed, refreshed_listing

hot_router = APIRouter(prefix="/v1/messages", tags=["messages"], route_class=HotRoute)
router = APIRouter(prefix="/v1/messages", tags=["messages"], route_class=TenantLimited)

_new_message: TypeAdapter[NewMessage] = TypeAdapter(SentMessage)

IdempotencyKey = Annotated[
    str | None,
    AfterValidator(of_bound_user),
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        description="A retry with the same key and body within 24 hours returns the first answer.",
    ),
]


class Batch(BaseModel):
    """Messages to store. Each is validated individually."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "messages": [
                        {
                            "tenant_id": "acme",
                            "conversation_id": "conv-1",
                            "role": "user",
                            "content": "I love Python programming",
                        }
                    ]
                }
            ]
        },
    )

    messages: Annotated[list[Annotated[Any, judged_by(_new_message)]], SIZE, described_as("NewMessage")]


class Accepted(BaseModel):
    """A message that was stored."""

    status: Literal[202] = 202
    message: Message


class Rejected(RejectedItem):
    """A message that was not stored, and why.

    It is invalid (422), exceeds a quota (413, 429), its id or external id is taken, or the message that its
    Idempotency-Key stored has been deleted (409), its precondition failed (412), or the service is overloaded or
    unavailable (503).
    """

    status: Literal[409, 412, 413, 422, 429, 503] = 422


class BatchAnswer(BaseModel):
    """The result of each message, in order."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"accepted": 1, "rejected": 0, "items": [{"status": 202, "message": MESSAGE_EXAMPLE}]}]
        }
    )

    accepted: int
    rejected: int
    items: list[Accepted | Rejected]


@hot_router.post(
    "",
    status_code=202,
    response_model=Message,
    responses={**error_responses(400, 409, 413, 422, 429), 202: TAGGED},
    dependencies=[Writes],
)
async def store_message(
    new: SentMessage,
    request: Request,
    services: ServicesOf,
    request_id: RequestId,
    ids: MessageIds,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Store a message. Search finds it by its words at once, and by its meaning a moment later.

    If the `external_id` or `id` exists, an identical message is returned again, and a different one is refused with
    409.
    """
    drafted = draft(new, request_id, datetime.now(UTC), next(ids))
    if idempotency_key is None:
        stored = await services.store(drafted)
    else:
        stored = await services.idempotent.store(drafted, StoreKey(idempotency_key, await request.body()))
    return json_response(stored, 202, tag_header(stored))


@hot_router.post(
    "/batch",
    status_code=202,
    response_model=BatchAnswer,
    responses={
        **error_responses(400, 409, 413, 422),
        207: {"model": BatchAnswer, "description": "Some were stored, some were not: see the items."},
    },
    dependencies=[Writes],
)
async def store_batch(
    batch: Batch,
    request: Request,
    services: ServicesOf,
    request_id: RequestId,
    ids: MessageIds,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Store up to 1,000 messages. An invalid one does not affect the others, but one of a foreign tenant refuses all.

    A retry with the same `Idempotency-Key` and body returns the same messages, and tries refused ones again. A batch in
    which every message has an `external_id` or an `id` can be retried without a key, for ever.
    """
    drafts = drafts_of(batch.messages, request_id, ids)
    if idempotency_key is None:
        stored = iter(await services.messages.store(list(drafts.values())) if drafts else [])
        answers = {place: next(stored) for place in drafts}
    else:
        answers = await services.idempotent.store_batch(drafts, StoreKey(idempotency_key, await request.body()))
    items = [
        Accepted.model_construct(status=202, message=answer)
        if isinstance(answer, Message)
        else rejected(Rejected, answer, request_id)
        for answer in (answers.get(place, each) for place, each in enumerate(batch.messages))
    ]
    return batch_response(BatchAnswer, items, 202)


@router.get("", response_model=MessagePage, responses=error_responses(422), dependencies=[Reads])
async def list_messages(
    listing: Annotated[MessageListing, Query()], request: Request, services: ServicesOf
) -> MessagePage:
    """List a tenant's messages by time, newest first unless `order` says otherwise, with the filters of a search."""
    name = _listing_name(listing)
    after = None if listing.cursor is None else Position(*decode_cursor(listing.cursor, name, UUID))
    found = await services.messages.page(listing, listing.limit + 1, after)
    items, next_cursor = page_of(found, listing.limit, name, lambda message: (message.created_at, str(message.id)))
    items = await refreshed_listing(request, services.expiry, listing, items)
    return MessagePage.model_construct(items=items, next_cursor=next_cursor)


@router.get(
    "/{message_id}",
    response_model=Message,
    responses={**error_responses(404, 422), 200: TAGGED},
    dependencies=[Reads],
)
async def get_message(
    message_id: UUID, services: ServicesOf, only_tenant: OnlyTenant, refresh_ttl: RefreshTtl
) -> Response:
    """Show one message, and the status of its embedding."""
    message = await services.messages.get(message_id, only_tenant)
    return tagged_response((await refreshed(services.expiry, [message]))[0] if refresh_ttl else message)


@router.patch(
    "/{message_id}",
    response_model=Message,
    responses={**error_responses(400, 404, 412, 413, 422, 429), 200: TAGGED},
    dependencies=[Writes],
)
async def change_message(
    message_id: UUID,
    change: SentChange,
    services: ServicesOf,
    request_id: RequestId,
    only_tenant: OnlyTenant,
    precondition: IfUnchanged,
) -> Response:
    """Change a message. Search finds new content by its words at once; it is embedded and scored again.

    Metadata is merged: keys that the change does not name stay. `If-Match` prevents overwriting another change.
    """
    return tagged_response(await services.messages.change(message_id, change, request_id, only_tenant, precondition))


@router.delete("/{message_id}", status_code=204, responses=error_responses(404, 412, 422), dependencies=[Writes])
async def delete_message(
    message_id: UUID, services: ServicesOf, only_tenant: OnlyTenant, precondition: IfUnchanged
) -> None:
    """Delete a message and its history. Search no longer finds it."""
    await services.messages.delete(message_id, only_tenant, precondition)


@router.post(
    "/{message_id}/retry",
    status_code=202,
    response_model=Message,
    responses=error_responses(404, 422),
    dependencies=[Writes],
)
async def retry_embedding(message_id: UUID, services: ServicesOf, only_tenant: OnlyTenant) -> Message:
    """Retry the failed embedding of a message. Other messages are returned unchanged."""
    await services.messages.get(message_id, only_tenant)
    await services.messages.retry_embedding(only_tenant, message_id)
    return await services.messages.get(message_id, only_tenant)


def _listing_name(listing: MessageListing) -> str:
    """Return the listing that a cursor belongs to. Without the newer filters it equals the one of earlier releases."""
    name = f"messages\0{listing.tenant_id}\0{listing.conversation_id or ''}"
    further = listing.model_dump(
        exclude={"tenant_id", "conversation_id", "limit", "cursor", "refresh_ttl"}, exclude_defaults=True, mode="python"
    )
    return f"{name}\0{sorted(further.items())!r}" if further else name


def drafts_of(messages: Sequence[Any], request_id: str | None, ids: Iterator[UUID | None]) -> dict[int, Draft]:
    """Return drafts of the valid messages of a batch, by their index in it."""
    now = datetime.now(UTC)
    return {
        place: draft(new, request_id, now, next(ids))
        for place, new in enumerate(messages)
        if isinstance(new, NewMessage)
    }
