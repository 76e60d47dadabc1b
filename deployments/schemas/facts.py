"""Request and response models of facts: statements that a caller derived from messages."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Self
from uuid import UUID

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, JsonValue, model_validator
from pydantic.json_schema import SkipJsonSchema

from deployments.schemas.messages import (
    MAX_PAGE,
    Change,
    Content,
    EmbeddingStatus,
    ExternalId,
    FutureTime,
    Identifier,
    LanguageCode,
    Metadata,
    NewTenantId,
    NewUserId,
    Seconds,
    Share,
    StoredIdentifier,
    TenantId,
    Time,
    UserId,
    Value,
    expires_once,
    not_boolean,
)

MAX_SOURCES = 100
MAX_SUPERSEDED = 100

DETAILS_EXAMPLE: dict[str, JsonValue] = {
    "subject": "Ada",
    "source_ids": ["0199d2a4-7a52-7c3e-9b1f-2f9f3f6f8a10"],
    "valid_from": "2026-11-23T09:30:00Z",
    "valid_to": None,
    "superseded_by": None,
}
FACT_EXAMPLE: dict[str, JsonValue] = {
    "id": "0199d2a5-11c0-7d5e-8f20-6c1b9d0e4a77",
    "tenant_id": "acme",
    "content": "Prefers Python to Java",
    **DETAILS_EXAMPLE,
    "conversation_id": None,
    "user_id": "ada",
    "agent_id": None,
    "metadata": {"topic": "languages"},
    "importance": 0.62,
    "embedding_status": "completed",
    "embedding_error": None,
    "archived": False,
    "created_at": "2026-11-23T09:31:00Z",
    "updated_at": "2026-11-23T09:31:00Z",
    "language": None,
    "external_id": None,
    "ttl_seconds": None,
    "expires_at": None,
    "version": 1,
}


class Kind(StrEnum):
    """Kind of a memory: a message, or a fact that a caller derived from messages."""

    MESSAGE = "message"
    FACT = "fact"


def _each_once(ids: list[UUID]) -> list[UUID]:
    if len(set(ids)) < len(ids):
        raise ValueError("must name each once")
    return ids


SourceIds = Annotated[
    list[UUID], Field(max_length=MAX_SOURCES, json_schema_extra={"uniqueItems": True}), AfterValidator(_each_once)
]
Superseded = Annotated[
    list[UUID],
    Field(min_length=1, max_length=MAX_SUPERSEDED, json_schema_extra={"uniqueItems": True}),
    AfterValidator(_each_once),
]


class NewFact(Value):
    """A statement to store, in the caller's words."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "tenant_id": "acme",
                    "user_id": "ada",
                    "subject": "Ada",
                    "content": "Prefers Python to Java",
                    "valid_from": "2026-11-23T09:30:00Z",
                }
            ]
        }
    )

    tenant_id: NewTenantId
    content: Content
    subject: Identifier | None = Field(default=None, description="Whom or what it is about. Searches match it too.")
    source_ids: SourceIds = Field(
        default_factory=list,
        description="The messages that it was derived from. When the last of them is deleted, so is the fact.",
    )
    valid_from: Time | None = Field(
        default=None,
        description="Since when it holds. Left out: when its newest source was said; without sources, now.",
    )
    valid_to: Time | None = Field(default=None, description="Until when it holds, exclusive. Null: it still does.")
    supersedes: UUID | Superseded | None = Field(
        default=None, description="The fact or facts that it replaces from its `valid_from` on."
    )
    conversation_id: Identifier | None = Field(default=None, description="The conversation that it belongs to, if any.")
    user_id: NewUserId = Field(
        default=None, validate_default=True, description="Which of the tenant's users it belongs to."
    )
    agent_id: Identifier | None = Field(default=None, description="Which agent it belongs to.")
    metadata: Metadata = Field(default_factory=dict)
    importance_override: Share | None = Field(default=None, description="Replaces the computed importance.")
    language: LanguageCode | None = Field(
        default=None, description="Its language. Null: the tenant's, or the detected one."
    )
    external_id: ExternalId | None = Field(
        default=None,
        description="The caller's own name for the fact, unique among its tenant's messages and facts.",
    )
    ttl_seconds: Seconds | None = Field(default=None, description="It expires this many seconds after it was stored.")
    expires_at: FutureTime | None = Field(default=None, description="When it expires: no read finds it from then on.")

    _expires_once = model_validator(mode="after")(expires_once)

    @model_validator(mode="after")
    def _ends_after_it_began(self) -> Self:
        if self.valid_from is not None and self.valid_to is not None and self.valid_to <= self.valid_from:
            raise ValueError("valid_to must be after valid_from")
        return self

    @property
    def superseded(self) -> list[UUID]:
        """Return the ids of the facts that it supersedes."""
        if self.supersedes is None:
            return []
        return [self.supersedes] if isinstance(self.supersedes, UUID) else self.supersedes


class FactChange(Change):
    """A change of a fact. Omitted fields stay as they are; new content or a new subject is embedded again."""

    NEVER_NULL: ClassVar[frozenset[str]] = Change.NEVER_NULL | {"source_ids", "valid_from"}
    model_config = ConfigDict(
        json_schema_extra={
            "minProperties": 1,
            "dependentRequired": {"metadata_mode": ["metadata"]},
            "examples": [{"valid_to": "2026-12-01T00:00:00Z"}],
        }
    )

    subject: Identifier | None = None
    source_ids: SourceIds | SkipJsonSchema[None] = None
    valid_from: Time | SkipJsonSchema[None] = None
    valid_to: Time | None = None
    superseded_by: UUID | None = Field(default=None, description="The newer fact. Null: this one holds again.")


class FactDetails(Value):
    """The fields of a fact that a message lacks."""

    model_config = ConfigDict(json_schema_extra={"examples": [DETAILS_EXAMPLE]})

    subject: str | None = Field(description="Whom or what it is about.")
    source_ids: list[UUID] = Field(description="The messages that it was derived from.")
    valid_from: datetime
    valid_to: datetime | None = Field(description="Null: no end was given.")
    superseded_by: UUID | None = Field(description="The newer fact that replaces it, or null.")


class Fact(FactDetails):
    """A stored fact."""

    model_config = ConfigDict(json_schema_extra={"examples": [FACT_EXAMPLE]})

    id: UUID
    tenant_id: str
    content: str
    conversation_id: str | None
    user_id: str | None
    agent_id: str | None
    metadata: dict[str, Any]
    importance: float | None = Field(description="0 to 1; null until the fact is scored, a moment after it was stored.")
    embedding_status: EmbeddingStatus
    embedding_error: str | None = Field(description="Why the last attempt to embed it failed.")
    archived: bool
    created_at: datetime = Field(description="When it was stored.")
    updated_at: datetime
    language: str | None = Field(description="As it was sent.")
    external_id: str | None
    ttl_seconds: int | None
    expires_at: datetime | None
    version: int = Field(description="Starts at 1 and counts callers' changes. See `ETag`.")


class FactListing(Value):
    """Filters and page of a listing of facts."""

    tenant_id: TenantId
    user_id: UserId = Field(default=None, validate_default=True, description="Facts of this user.")
    agent_id: StoredIdentifier | None = Field(default=None, description="Facts of this agent.")
    conversation_id: StoredIdentifier | None = Field(default=None, description="Facts of this conversation.")
    subject: StoredIdentifier | None = Field(default=None, description="Facts about this subject.")
    external_id: ExternalId | None = Field(default=None, description="The fact with this external id.")
    source_id: UUID | None = Field(default=None, description="Facts derived from this message.")
    as_of: Time | None = Field(default=None, description="Facts that held at this time. Left out: all.")
    limit: Annotated[int, Field(ge=1, le=MAX_PAGE), BeforeValidator(not_boolean)] = 50
    cursor: Annotated[str | None, Field(max_length=1024, description="Of the page before, with the same filters.")] = (
        None
    )


class FactPage(Value):
    """A page of facts, newest first."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"items": [FACT_EXAMPLE], "next_cursor": None}]})

    items: list[Fact]
    next_cursor: str | None = Field(description="Give it back as `cursor` for the next page; null at the end.")
