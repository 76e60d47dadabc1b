"""Facts, which callers derive from messages: store, batch, get, list, change, delete, history."""

from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, TypeAdapter

from deployments.errors import MemoryLayerError
from deployments.schemas.facts import FACT_EXAMPLE, Fact, FactChange, FactListing, FactPage, NewFact
from deployments.schemas.history import FactHistory
from deployments.storage.messages.fact_drafts import fact_draft
from deployments.storage.messages.idempotency_keys import StoreKey
from deployments.storage.messages.repository import Position
from serve_app.edge.auth import Reads, Writes
from serve_app.edge.http_errors import error_responses
from serve_app.edge.preconditions import TAGGED, IfUnchanged, tagged_response
from serve_app.edge.rate_limits import TenantLimited
from serve_app.routes.batches import SIZE, RejectedItem, batch_response, described_as, judged_by, rejected
from serve_app.routes.cursors import Cursor, Limit, decode_cursor, page_of
from serve_app.routes.dependencies import MessageIds, OnlyTenant, RequestId, ServicesOf
from serve_app.routes.message_history import history_page
from serve_app.routes.messages import IdempotencyKey
from serve_app.routes.refreshing import RefreshTtl, refreshed

router = APIRouter(prefix="/v1/facts", tags=["facts"], route_class=TenantLimited)

_new_fact = TypeAdapter(NewFact)


class FactBatch(BaseModel):
    """Facts to store. Each is validated individually."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"facts": [{"tenant_id": "acme", "content": "Ada prefers Python to Java"}]}]},
    )

    facts: Annotated[list[Annotated[Any, judged_by(_new_fact)]], SIZE, described_as("NewFact")]


class AcceptedFact(BaseModel):
    """A fact that was stored."""

    status: Literal[202] = 202
    fact: Fact


class RejectedFact(RejectedItem):
    """A fact that was not stored, and why.

    It is invalid (422), exceeds a quota (413, 429), its external id is taken, or the fact that its Idempotency-Key
    stored has been deleted (409), or the service is overloaded or unavailable (503).
    """

    status: Literal[409, 413, 422, 429, 503] = 422


class FactBatchAnswer(BaseModel):
    """The result of each fact, in order."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"accepted": 1, "rejected": 0, "items": [{"status": 202, "fact": FACT_EXAMPLE}]}]
        }
    )

    accepted: int
    rejected: int
    items: list[AcceptedFact | RejectedFact]


@router.post(
    "",
    status_code=202,
    response_model=Fact,
    responses={**error_responses(400, 409, 413, 422, 429), 202: TAGGED},
    dependencies=[Writes],
)
async def store_fact(
    new: NewFact,
    request: Request,
    services: ServicesOf,
    request_id: RequestId,
    ids: MessageIds,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Store a fact that you derived. Search finds it by its words at once, and by its meaning a moment later.

    If the `external_id` exists, an identical fact is returned again, and a different one is refused with 409.
    """
    draft = fact_draft(new, request_id, next(ids))
    (outcome,) = await services.facts.store([draft], await _store_key(idempotency_key, request))
    if isinstance(outcome, MemoryLayerError):
        raise outcome
    return tagged_response(outcome, 202)


@router.post(
    "/batch",
    status_code=202,
    response_model=FactBatchAnswer,
    responses={
        **error_responses(400, 409, 413, 422),
        207: {"model": FactBatchAnswer, "description": "Some were stored, some were not: see the items."},
    },
    dependencies=[Writes],
)
async def store_facts(
    batch: FactBatch,
    request: Request,
    services: ServicesOf,
    request_id: RequestId,
    ids: MessageIds,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Store up to 1,000 facts. An invalid one does not affect the others, but one of another tenant refuses all.

    A retry with the same `Idempotency-Key` and body returns the same facts, and tries refused ones again. A batch in
    which every fact has an `external_id` can be retried without a key, for ever.
    """
    drafts = [
        fact_draft(new, request_id, next(ids), place)
        for place, new in enumerate(batch.facts)
        if isinstance(new, NewFact)
    ]
    key = await _store_key(idempotency_key, request)
    stored = iter(await services.facts.store(drafts, key) if drafts else [])
    outcomes = [next(stored) if isinstance(each, NewFact) else each for each in batch.facts]
    items = [
        AcceptedFact.model_construct(status=202, fact=outcome)
        if isinstance(outcome, Fact)
        else rejected(RejectedFact, outcome, request_id, "fact")
        for outcome in outcomes
    ]
    return batch_response(FactBatchAnswer, items, 202)


@router.get("", response_model=FactPage, responses=error_responses(422), dependencies=[Reads])
async def list_facts(listing: Annotated[FactListing, Query()], services: ServicesOf) -> FactPage:
    """List a tenant's facts, newest first: all of them, or those that were valid at a given time."""
    listed = f"facts\0{listing.model_dump_json(exclude={'limit', 'cursor'})}"
    after = None if listing.cursor is None else Position(*decode_cursor(listing.cursor, listed, UUID))
    found = await services.facts.page(listing, after)
    items, next_cursor = page_of(found, listing.limit, listed, lambda fact: (fact.created_at, str(fact.id)))
    return FactPage.model_construct(items=items, next_cursor=next_cursor)


@router.get(
    "/{fact_id}", response_model=Fact, responses={**error_responses(404, 422), 200: TAGGED}, dependencies=[Reads]
)
async def get_fact(fact_id: UUID, services: ServicesOf, only_tenant: OnlyTenant, refresh_ttl: RefreshTtl) -> Response:
    """Return one fact, and the status of its embedding."""
    fact = await services.facts.get(fact_id, only_tenant)
    return tagged_response((await refreshed(services.expiry, [fact]))[0] if refresh_ttl else fact)


@router.get("/{fact_id}/history", response_model=FactHistory, responses=error_responses(404, 422), dependencies=[Reads])
async def fact_history(
    fact_id: UUID,
    services: ServicesOf,
    only_tenant: OnlyTenant,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> FactHistory:
    """Show a fact, and its versions before each change of the last `MEMORY_HISTORY_DAYS`, newest first.

    A deleted fact has no history.
    """
    items, next_cursor = await history_page(services.history.page_of_fact, fact_id, limit, cursor, only_tenant)
    return FactHistory.model_construct(items=items, next_cursor=next_cursor)


@router.patch(
    "/{fact_id}",
    response_model=Fact,
    responses={**error_responses(400, 404, 412, 413, 422, 429), 200: TAGGED},
    dependencies=[Writes],
)
async def change_fact(
    fact_id: UUID,
    change: FactChange,
    services: ServicesOf,
    request_id: RequestId,
    only_tenant: OnlyTenant,
    precondition: IfUnchanged,
) -> Response:
    """Change a fact, or end its validity: by `valid_to`, or by the newer one in `superseded_by`.

    Metadata is merged: keys that the change does not name stay. `If-Match` prevents overwriting another change.
    """
    return tagged_response(await services.facts.change(fact_id, change, request_id, only_tenant, precondition))


@router.delete("/{fact_id}", status_code=204, responses=error_responses(404, 412, 422), dependencies=[Writes])
async def delete_fact(fact_id: UUID, services: ServicesOf, only_tenant: OnlyTenant, precondition: IfUnchanged) -> None:
    """Delete a fact and its history, and keep its sources. A fact that it superseded becomes valid again."""
    await services.facts.delete(fact_id, only_tenant, precondition)


@router.post(
    "/{fact_id}/retry",
    status_code=202,
    response_model=Fact,
    responses=error_responses(404, 422),
    dependencies=[Writes],
)
async def retry_fact(fact_id: UUID, services: ServicesOf, only_tenant: OnlyTenant) -> Fact:
    """Retry the failed embedding of a fact. Other facts are returned unchanged."""
    return await services.facts.retry_embedding(fact_id, only_tenant)


async def _store_key(key: str | None, request: Request) -> StoreKey | None:
    return None if key is None else StoreKey(key, await request.body())
