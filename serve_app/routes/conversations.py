"""Conversations: list, get, delete."""

from typing import Annotated

from fastapi import APIRouter, Query

from deployments.schemas.messages import Conversation, ConversationPage, StoredIdentifier
from serve_app.edge.auth import Reads, Writes
from serve_app.edge.http_errors import error_responses
from serve_app.edge.named_paths import NamedRoute
from serve_app.routes.cursors import Limit, decode_cursor, page_of
from serve_app.routes.dependencies import ServicesOf, TenantId, UserId

router = APIRouter(prefix="/v1/conversations", tags=["conversations"], route_class=NamedRoute)


@router.get("", response_model=ConversationPage, responses=error_responses(422), dependencies=[Reads])
async def list_conversations(
    services: ServicesOf,
    tenant_id: TenantId,
    user_id: UserId,
    agent_id: Annotated[StoredIdentifier | None, Query(description="Only this agent's messages.")] = None,
    conversation_prefix: Annotated[
        StoredIdentifier | None, Query(description="A namespace: `a/b` has `a/b` and `a/b/c`, and not `a/bc`.")
    ] = None,
    limit: Limit = 50,
    cursor: Annotated[str | None, Query(max_length=2048)] = None,
) -> ConversationPage:
    """List a tenant's conversations, most recently used first. With a user or an agent, only its messages count."""
    listing = _listing_name(tenant_id, conversation_prefix, user_id, agent_id)
    after = None if cursor is None else decode_cursor(cursor, listing, str)
    found = await services.conversations.page(
        tenant_id, limit + 1, after, conversation_prefix, user_id=user_id, agent_id=agent_id
    )
    items, next_cursor = page_of(found, limit, listing, lambda each: (each.last_message_at, each.conversation_id))
    return ConversationPage(items=items, next_cursor=next_cursor)


@router.get(
    "/{conversation_id:name}",
    response_model=Conversation,
    responses=error_responses(404, 422),
    dependencies=[Reads],
)
async def get_conversation(
    conversation_id: StoredIdentifier, services: ServicesOf, tenant_id: TenantId, user_id: UserId
) -> Conversation:
    """Show how many messages a conversation has, and its first and last time."""
    return await services.conversations.get(tenant_id, conversation_id, user_id)


@router.delete("/{conversation_id:name}", status_code=204, responses=error_responses(404, 422), dependencies=[Writes])
async def delete_conversation(
    conversation_id: StoredIdentifier, services: ServicesOf, tenant_id: TenantId, user_id: UserId
) -> None:
    """Delete a conversation with all of its messages, or only those of one user. Search no longer finds them."""
    await services.conversations.delete(tenant_id, conversation_id, user_id)


def _listing_name(tenant_id: str, conversation_prefix: str | None, user_id: str | None, agent_id: str | None) -> str:
    """Return the listing that a cursor belongs to. Without the newer filters it equals the one of earlier releases."""
    name = f"conversations\0{tenant_id}"
    further = (conversation_prefix, user_id, agent_id)
    return name if further == (None, None, None) else f"{name}\0{further!r}"
