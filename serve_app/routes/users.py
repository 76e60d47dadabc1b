"""Users of a tenant: list, and erase with a receipt.

Their names are in the query: a path may contain slashes, and a user's name may end like another operation's path.
"""

from time import monotonic
from typing import Annotated

from fastapi import APIRouter, Query, Response

from deployments.schemas.erasure import Erasure
from deployments.schemas.messages import Flag, StoredIdentifier
from deployments.schemas.users import UserPage
from deployments.storage.tenants.erasure import ErasureOrder
from serve_app.edge.auth import Administrator, Reads
from serve_app.edge.http_errors import error_responses
from serve_app.edge.rate_limits import TenantLimited
from serve_app.routes.cursors import Limit, decode_cursor, page_of
from serve_app.routes.dependencies import ServicesOf, TenantId
from serve_app.routes.erasures import MAX_WAIT_SECONDS, UNFINISHED, WAIT, erased

router = APIRouter(prefix="/v1", route_class=TenantLimited)

OneUser = Annotated[StoredIdentifier, Query(description="Whose messages.", examples=["ada"])]


@router.get("/users", tags=["users"], response_model=UserPage, responses=error_responses(422), dependencies=[Reads])
async def list_users(
    services: ServicesOf,
    tenant_id: TenantId,
    limit: Limit = 50,
    cursor: Annotated[str | None, Query(max_length=2048)] = None,
) -> UserPage:
    """List a tenant's users by name: how many messages each has, and its first and last time."""
    listing = f"users\0{tenant_id}"
    after = None if cursor is None else decode_cursor(cursor, listing, str)[1]
    found = await services.users.page(tenant_id, limit + 1, after)
    items, next_cursor = page_of(found, limit, listing, lambda each: (each.last_message_at, each.user_id))
    return UserPage(items=items, next_cursor=next_cursor)


@router.delete(
    "/admin/users", tags=["admin"], response_model=Erasure, responses={**error_responses(422), 202: UNFINISHED}
)
async def erase_user(
    services: ServicesOf,
    caller: Administrator,
    response: Response,
    tenant_id: TenantId,
    user_id: OneUser,
    keep_keys: Annotated[Flag, Query(description="Leave the user's API keys as they are.")] = False,
    wait_seconds: Annotated[float, Query(ge=0, le=MAX_WAIT_SECONDS, description=WAIT)] = 20.0,
) -> Erasure:
    """Erase all messages and other data of a user, and revoke the keys that are bound to the user.

    If that takes longer than `wait_seconds` the answer is 202, and repeating the request continues with the same
    receipt.
    """
    order = ErasureOrder(tenant_id, caller.name, user_id=user_id, revoke_keys=not keep_keys)
    until = monotonic() + min(wait_seconds, services.http.longest_wait_seconds)
    return await erased(services, order, until, response)
