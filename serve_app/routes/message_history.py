"""Earlier versions of a message."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from deployments.schemas.history import MessageHistory
from deployments.schemas.messages import MAX_PAGE
from serve_app.edge.auth import Reads
from serve_app.edge.http_errors import error_responses
from serve_app.edge.rate_limits import TenantLimited
from serve_app.routes.cursors import decode_cursor, page_of
from serve_app.routes.dependencies import OnlyTenant, ServicesOf

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
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 50,
    cursor: Annotated[str | None, Query(max_length=1024)] = None,
) -> MessageHistory:
    """Show a message, and its versions before each change of the last `MEMORY_HISTORY_DAYS`, newest first.

    A deleted message has no history.
    """
    listing = f"history\0{message_id}"
    before = None if cursor is None else decode_cursor(cursor, listing, int)[1]
    found = await services.history.page(message_id, limit + 1, before, only_tenant)
    items, next_cursor = page_of(found, limit, listing, lambda version: (version.since, str(version.version)))
    return MessageHistory.model_construct(items=items, next_cursor=next_cursor)
