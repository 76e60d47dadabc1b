"""Response models of the history of a message or a fact."""

from datetime import datetime
from typing import Any

from pydantic import ConfigDict, Field, JsonValue

from deployments.schemas.facts import DETAILS_EXAMPLE, FactDetails
from deployments.schemas.messages import Role, Value

VERSION_EXAMPLE: dict[str, JsonValue] = {
    "version": 1,
    "since": "2026-11-23T09:30:00Z",
    "until": "2026-11-24T16:05:12Z",
    "conversation_id": "conv-1",
    "role": "user",
    "name": "Ada",
    "content": "I love Python programming",
    "metadata": {"channel": "web"},
    "importance_override": None,
    "created_at": "2026-11-23T09:30:00Z",
    "language": None,
    "external_id": "crm-4711",
    "user_id": "ada",
    "agent_id": None,
    "ttl_seconds": None,
    "expires_at": None,
    "chat": None,
}
FACT_VERSION_EXAMPLE: dict[str, JsonValue] = {
    "version": 1,
    "since": "2026-11-23T09:31:00Z",
    "until": "2026-11-24T16:05:12Z",
    "conversation_id": None,
    "content": "Prefers Python to Java",
    "metadata": {"topic": "languages"},
    "importance_override": None,
    "language": None,
    "external_id": None,
    "user_id": "ada",
    "agent_id": None,
    "ttl_seconds": None,
    "expires_at": None,
    **DETAILS_EXAMPLE,
}


class Version(Value):
    """One version: the fields of a message or a fact that callers write, and the time span of these values."""

    version: int
    since: datetime = Field(description="When it was stored or changed to this.")
    until: datetime | None = Field(description="When it was changed again; null for the current version.")
    content: str
    metadata: dict[str, Any]
    importance_override: float | None
    language: str | None
    external_id: str | None
    user_id: str | None
    agent_id: str | None
    ttl_seconds: int | None
    expires_at: datetime | None


class MessageVersion(Version):
    """One version of a message."""

    conversation_id: str
    role: Role
    name: str | None
    created_at: datetime = Field(description="In the sender's time zone.")
    chat: dict[str, Any] | None = Field(description="The message as a chat format sent it; null for a plain text.")


class MessageHistory(Value):
    """Versions of a message, newest first."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"items": [VERSION_EXAMPLE], "next_cursor": None}]})

    items: list[MessageVersion]
    next_cursor: str | None = Field(description="Give it back as `cursor` for the next page; null at the end.")


class FactVersion(FactDetails, Version):
    """One version of a fact."""

    conversation_id: str | None


class FactHistory(Value):
    """Versions of a fact, newest first."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"items": [FACT_VERSION_EXAMPLE], "next_cursor": None}]})

    items: list[FactVersion]
    next_cursor: str | None = Field(description="Give it back as `cursor` for the next page; null at the end.")
