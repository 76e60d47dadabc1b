"""Earlier versions of a message, and pages of versions."""

from collections.abc import Awaitable, Callable
from typing import TypeVar
from uuid import UUID

from fastapi import APIRouter

from deployments.schemas.history import FactVersion, MessageHistory, MessageVersion
from deployments.tenancy import Visible
from serve_app.edge.auth import Reads
from serve_app.edge.http_errors import error_responses
from serve_app.edge.rate_limits import TenantLimited
from serve_app.routes.cursors import Cursor, Limit, decode_cursor, page_of
from serve_app.routes.dependencies import OnlyTenant, ServicesOf

Version = TypeVar("Version", MessageVersion, FactVersion)

router = APIRouter(prefix="/v1/messages", tags=["messages"], route_class=TenantLimited)


@router.get(
    "/{message_id}/history",
    response_model=MessageHistory,
    responses=error_responses(404, 422),
    dependencies=[Reads],
)
async def message_history(
    message_id: UUID,
    services: ServicesOf,
    only_tenant: OnlyTenant,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> MessageHistory:
    """Show a message, and its versions before each change of the last `MEMORY_HISTORY_DAYS`, newest first.

    A deleted message has no history.
    """
    items, next_cursor = await history_page(services.history.page, message_id, limit, cursor, only_tenant)
    return MessageHistory.model_construct(items=items, next_cursor=next_cursor)


async def history_page(
    read: Callable[[UUID, int, int | None, Visible], Awaitable[list[Version]]],
    memory_id: UUID,
    limit: int,
    cursor: str | None,
    seen: Visible,
) -> tuple[list[Version], str | None]:
    """Return a page of the versions of a message or a fact, and the cursor of the next page, or None.

    `read` returns at most so many versions, older than a version if one is given.
    """
    listing = f"history\0{memory_id}"
    before = None if cursor is None else decode_cursor(cursor, listing, int)[1]
    found = await read(memory_id, limit + 1, before, seen)
    return page_of(found, limit, listing, lambda version: (version.since, str(version.version)))
