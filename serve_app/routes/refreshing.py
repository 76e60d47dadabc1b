"""Reads that extend the expiry of what they return: `refresh_ttl`."""

from collections.abc import Sequence
from typing import Annotated, TypeVar
from uuid import UUID

import orjson
from fastapi import Depends, Query, Request

from deployments.schemas.api_keys import KeyScope
from deployments.schemas.facts import Fact
from deployments.schemas.messages import Flag, Message
from deployments.schemas.search import Filters, MessageFilters, MessageListing
from deployments.storage.messages.expiry import ExpiryRepository
from serve_app.edge.auth import require

Memory = TypeVar("Memory", Message, Fact)

REFRESH_TTL = MessageFilters.model_fields["refresh_ttl"].description


async def _refresh_ttl(request: Request, refresh_ttl: Annotated[Flag, Query(description=REFRESH_TTL)] = False) -> bool:
    if refresh_ttl:
        require(request, KeyScope.WRITE)
    return refresh_ttl


RefreshTtl = Annotated[bool, Depends(_refresh_ttl)]


async def refreshed(expiry: ExpiryRepository, memories: Sequence[Memory]) -> list[Memory]:
    """Extend the expiry of one tenant's messages or facts. Return them with the new `expires_at`."""
    lasting = [memory for memory in memories if memory.ttl_seconds is not None]
    if not lasting:
        return list(memories)
    until = await expiry.refresh(lasting[0].tenant_id, [memory.id for memory in lasting])
    return [
        memory.model_copy(update={"expires_at": until[memory.id]}) if memory.id in until else memory
        for memory in memories
    ]


async def refreshed_listing(
    request: Request, expiry: ExpiryRepository, asked: MessageListing, messages: list[Message]
) -> list[Message]:
    """Extend the expiry of a page's messages if the request asks for it. Return them with the new `expires_at`."""
    if not asked.refresh_ttl:
        return messages
    require(request, KeyScope.WRITE)
    return await refreshed(expiry, messages)


async def refreshed_answer(request: Request, expiry: ExpiryRepository, asked: Filters, answer: bytes) -> bytes:
    """Extend the expiry of what a search or a context found if the request asks for it. Return the answer unchanged."""
    if asked.refresh_ttl:
        require(request, KeyScope.WRITE)
        items = orjson.loads(answer)["items"]
        await expiry.refresh(asked.tenant_id, [UUID(item["message_id"]) for item in items])
    return answer
