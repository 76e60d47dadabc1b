"""Erase a tenant, or one of its conversations, with a receipt."""

from time import monotonic
from typing import Annotated, Any

import structlog
from fastapi import APIRouter, Query, Response

from deployments.errors import InvalidRequestError
from deployments.schemas.erasure import Erasure, ErasureStatus
from deployments.schemas.messages import Flag, StoredIdentifier, TenantInPath
from deployments.storage.tenants.erasure import ErasureOrder
from serve_app.edge.auth import Administers, Administrator
from serve_app.edge.http_errors import error_responses
from serve_app.edge.named_paths import NamedRoute
from serve_app.routes.dependencies import ServicesOf
from serve_app.services import Services

logger = structlog.get_logger(__name__)

router = APIRouter(prefix="/v1/admin", tags=["admin"], route_class=NamedRoute)

MAX_WAIT_SECONDS = 50.0
WAIT = "How long to erase; at most four fifths of what a request may take."
UNFINISHED: dict[str, Any] = {"model": Erasure, "description": "Not all is gone yet: ask again, and it goes on."}

OfConversation = Annotated[StoredIdentifier | None, Query(description="Only this conversation. Left out: everything.")]
OfUser = Annotated[StoredIdentifier | None, Query(description="Of this user. Left out: of all.")]


@router.get("/erasures/latest", response_model=Erasure, responses=error_responses(404, 422), dependencies=[Administers])
# Before the next route, whose path matches slashes, since tenant names may contain them.
@router.get(
    "/tenants/{tenant_id:name}/erasure",
    response_model=Erasure,
    responses=error_responses(404, 422),
    dependencies=[Administers],
    deprecated=True,
    name="latest_erasure_by_path",
)
async def latest_erasure(
    tenant_id: TenantInPath, services: ServicesOf, conversation_id: OfConversation = None, user_id: OfUser = None
) -> Erasure:
    """Show the last receipt of a tenant, of one of its conversations, or of one of its users."""
    if user_id is None:
        return await services.erasures.latest(tenant_id, conversation_id)
    if conversation_id is not None:
        raise InvalidRequestError("A receipt is of a conversation or of a user: name one of them.")
    return await services.erasures.latest_of_user(tenant_id, user_id)


@router.delete("/tenants", response_model=Erasure, responses={**error_responses(404, 422), 202: UNFINISHED})
@router.delete(
    "/tenants/{tenant_id:name}",
    response_model=Erasure,
    responses={**error_responses(404, 422), 202: UNFINISHED},
    deprecated=True,
    name="erase_tenant_by_path",
)
async def erase_tenant(
    tenant_id: TenantInPath,
    services: ServicesOf,
    caller: Administrator,
    response: Response,
    conversation_id: OfConversation = None,
    keep_keys: Annotated[Flag, Query(description="Leave the tenant's API keys as they are.")] = False,
    wait_seconds: Annotated[float, Query(ge=0, le=MAX_WAIT_SECONDS, description=WAIT)] = 20.0,
) -> Erasure:
    """Erase all data of a tenant: messages, vectors, statistics, pending work, stored answers. Revoke its keys.

    Everything that was stored before is gone when the status is `completed`. If that takes longer than `wait_seconds`
    the answer is 202, and repeating the request continues with the same receipt.
    """
    order = ErasureOrder(tenant_id, caller.name, conversation_id, revoke_keys=not keep_keys, spared=caller.name)
    until = monotonic() + min(wait_seconds, services.http.longest_wait_seconds)
    return await erased(services, order, until, response)


async def erased(services: Services, order: ErasureOrder, until: float, response: Response) -> Erasure:
    """Erase until nothing is left or until a time of the monotonic clock, and answer 202 if something is left."""
    erasure = await services.erasures.erase(order, until)
    if erasure.status is ErasureStatus.UNFINISHED:
        response.status_code = 202
    logger.info(
        "tenant_erased" if order.user_id is None else "user_erased",
        erasure_id=str(erasure.id),
        tenant_id=order.tenant_id,
        status=erasure.status,
        messages=erasure.messages,
        by=order.requested_by,
    )
    return erasure
