"""Facts: store, batch, get, list, change and delete statements that a caller derived."""

from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Query, Response
from pydantic import BaseModel, ConfigDict, TypeAdapter

from deployments.errors import InvalidRequestError, MemoryLayerError
from deployments.fact_schemas import FACT_EXAMPLE, Fact, FactChange, FactListing, FactPage, NewFact
from deployments.storage.facts import fact_draft
from deployments.storage.messages import Position
from serve_app.auth import Reads, Writes
from serve_app.cursors import decode_cursor, page_of
from serve_app.http_errors import error_responses
from serve_app.json_response import json_response
from serve_app.rate_limits import TenantLimited
from serve_app.routes.batches import SIZE, RejectedItem, batch_response, described_as, judged_by, rejected
from serve_app.routes.dependencies import MessageIds, OnlyTenant, RequestId, ServicesOf

router = APIRouter(prefix="/v1/facts", tags=["facts"], route_class=TenantLimited)

_new_fact = TypeAdapter(NewFact)


async def _without_idempotency_key(
    key: Annotated[str | None, Header(alias="Idempotency-Key", include_in_schema=False)] = None,
) -> None:
    if key is not None:
        raise InvalidRequestError("Facts take no Idempotency-Key: an external_id keeps a retry from storing twice.")


class FactBatch(BaseModel):
    """Facts to store. Each is judged for itself."""

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
    """A fact that was not stored, and why: not valid (422), its external_id taken (409), beyond a quota (413, 429)."""

    status: Literal[409, 413, 422, 429] = 422


class FactBatchAnswer(BaseModel):
    """What became of each fact, in order."""

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
    responses=error_responses(400, 409, 413, 422, 429),
    dependencies=[Writes, Depends(_without_idempotency_key)],
)
async def store_fact(new: NewFact, services: ServicesOf, request_id: RequestId, ids: MessageIds) -> Response:
    """Store a fact that you derived. It is found by its words at once, and by its meaning a moment later."""
    (outcome,) = await services.facts.store([fact_draft(new, request_id, next(ids))])
    if isinstance(outcome, MemoryLayerError):
        raise outcome
    return json_response(outcome, 202)


@router.post(
    "/batch",
    status_code=202,
    response_model=FactBatchAnswer,
    responses={
        **error_responses(400, 413, 422),
        207: {"model": FactBatchAnswer, "description": "Some were stored, some were not: see the items."},
    },
    dependencies=[Writes, Depends(_without_idempotency_key)],
)
async def store_facts(batch: FactBatch, services: ServicesOf, request_id: RequestId, ids: MessageIds) -> Response:
    """Store up to 1,000 facts. A bad one does not lose the others, but one of another tenant than the key's does."""
    drafts = [fact_draft(new, request_id, next(ids)) for new in batch.facts if isinstance(new, NewFact)]
    stored = iter(await services.facts.store(drafts) if drafts else [])
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
    """List a tenant's facts, the newest first: all of them, or those that held at a time."""
    listed = f"facts\0{listing.model_dump_json(exclude={'limit', 'cursor'})}"
    after = None if listing.cursor is None else Position(*decode_cursor(listing.cursor, listed, UUID))
    found = await services.facts.page(listing, after)
    items, next_cursor = page_of(found, listing.limit, listed, lambda fact: (fact.created_at, str(fact.id)))
    return FactPage.model_construct(items=items, next_cursor=next_cursor)


@router.get("/{fact_id}", response_model=Fact, responses=error_responses(404, 422), dependencies=[Reads])
async def get_fact(fact_id: UUID, services: ServicesOf, only_tenant: OnlyTenant) -> Fact:
    """Return one fact, and how far its embedding is."""
    return await services.facts.get(fact_id, only_tenant)


@router.patch(
    "/{fact_id}",
    response_model=Fact,
    responses=error_responses(400, 404, 413, 422, 429),
    dependencies=[Writes],
)
async def change_fact(
    fact_id: UUID, change: FactChange, services: ServicesOf, request_id: RequestId, only_tenant: OnlyTenant
) -> Fact:
    """Change a fact, or end it: by `valid_to`, or by the newer one in `superseded_by`."""
    return await services.facts.change(fact_id, change, request_id, only_tenant)


@router.delete("/{fact_id}", status_code=204, responses=error_responses(404, 422), dependencies=[Writes])
async def delete_fact(fact_id: UUID, services: ServicesOf, only_tenant: OnlyTenant) -> None:
    """Delete a fact and leave its sources. A fact that it superseded holds again."""
    await services.facts.delete(fact_id, only_tenant)
