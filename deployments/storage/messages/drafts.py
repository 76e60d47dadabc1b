"""Drafts: messages to be stored, with their ids, times, terms and statement parameters."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, TypeAlias
from uuid import UUID

import orjson
from uuid_utils.compat import uuid7

from deployments.schemas.chat import ChatMessage
from deployments.schemas.messages import EmbeddingStatus, Message, NewMessage
from deployments.schemas.transfer import MovedMessage
from deployments.storage.messages.analysis import Analysis, analysis_columns
from deployments.storage.messages.expiry import expiry_of
from deployments.storage.messages.rows import chat_json
from deployments.storage.postgres.zones import offset_minutes
from deployments.tenancy import bound_user


@dataclass(frozen=True)
class Draft:
    """A message to be stored, and the request that sent it.

    `only_user`: the only user whose messages the caller may see and replace; None: any.
    """

    message: Message
    importance_override: float | None
    request_id: str | None
    new: NewMessage
    only_user: str | None = None

    @property
    def is_named(self) -> bool:
        """Return whether the caller chose an id or an external id, so that several drafts may be the same message."""
        return self.new.external_id is not None or self.new.id is not None


def draft(new: NewMessage, request_id: str | None, now: datetime, message_id: UUID | None = None) -> Draft:
    """Return a draft of a new message, with its id and times. Ids are UUIDv7, which sort by time, or the caller's.

    `message_id`: the same id for each attempt to store the message, if there may be several.
    """
    message = Message.model_construct(
        id=new.id or message_id or uuid7(),
        tenant_id=new.tenant_id,
        conversation_id=new.conversation_id,
        role=new.role,
        name=new.name,
        content=new.content,
        metadata=new.metadata,
        importance_score=new.importance_override,
        embedding_status=EmbeddingStatus.PENDING,
        embedding_error=None,
        archived=False,
        created_at=new.created_at or now,
        updated_at=now,
        language=new.language,
        external_id=new.external_id,
        user_id=new.user_id,
        agent_id=new.agent_id,
        ttl_seconds=new.ttl_seconds,
        expires_at=expiry_of(new, now),
        version=1,
        chat=new.chat if isinstance(new, ChatMessage) else None,
    )
    return Draft(message, new.importance_override, request_id, new, bound_user())


class AnalyzedDraft(NamedTuple):
    """A draft with its terms."""

    draft: Draft
    analysis: Analysis


# The place of a draft among those that are stored together, and the draft.
Placed: TypeAlias = tuple[int, AnalyzedDraft]


def in_lock_order(drafts: Sequence[AnalyzedDraft]) -> list[Placed]:
    """Return drafts with their places, in a global lock order: inserts of the same names wait for each other."""
    return sorted(enumerate(drafts), key=lambda each: _lock_of(each[1].draft.message))


def _lock_of(message: Message) -> tuple[str, str, int]:
    return message.tenant_id, message.external_id or "", message.id.int


def message_columns(messages: Sequence[Message | MovedMessage], analyses: Sequence[Analysis]) -> dict[str, list[Any]]:
    """Return the parameters that all statements for storing messages share: a list for each column."""
    return {
        "ids": [m.id for m in messages],
        "conversation_ids": [m.conversation_id for m in messages],
        "roles": [m.role for m in messages],
        "names": [m.name for m in messages],
        "contents": [m.content for m in messages],
        "metadatas": [orjson.dumps(m.metadata).decode() for m in messages],
        "chats": [chat_json(m.chat) for m in messages],
        "created_ats": [m.created_at for m in messages],
        "utc_offsets": [offset_minutes(m.created_at) for m in messages],
        "languages": [m.language for m in messages],
        "external_ids": [m.external_id for m in messages],
        "user_ids": [m.user_id for m in messages],
        "agent_ids": [m.agent_id for m in messages],
        "ttls": [m.ttl_seconds for m in messages],
        "expiries": [m.expires_at for m in messages],
        **analysis_columns(analyses),
    }


def store_parameters(drafts: Sequence[AnalyzedDraft]) -> dict[str, object]:
    """Return the parameters of `store_messages`: a list for each column."""
    messages = [each.draft.message for each in drafts]
    return {
        **message_columns(messages, [each.analysis for each in drafts]),
        "tenant_ids": [m.tenant_id for m in messages],
        "overrides": [each.draft.importance_override for each in drafts],
        "request_ids": [each.draft.request_id for each in drafts],
        "now": messages[0].updated_at,
    }
