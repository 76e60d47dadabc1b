"""Request and response models of messages, and field types shared by the API, the deployments and the jobs."""

from datetime import UTC, datetime, timedelta, timezone
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Self, TypeVar
from uuid import UUID

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    computed_field,
    model_validator,
)
from pydantic.json_schema import SkipJsonSchema

from deployments.analysis.languages import LANGUAGES, known_language
from deployments.epoch import EPOCH
from deployments.schemas.metadata import sound_metadata
from deployments.schemas.name_characters import NEW_NAME, NOT_BLANK, in_one_line
from deployments.tenancy import bound_tenant, named, tenant_if_any, the_tenant, user_if_any

MAX_CONTENT_CHARACTERS = 100_000
MAX_EXTERNAL_ID_CHARACTERS = 512
MAX_TTL_SECONDS = 100 * 366 * 86_400
MAX_BATCH = 1_000
MAX_PAGE = 200
CLOCK_SKEW = timedelta(minutes=5)

MESSAGE_EXAMPLE: dict[str, JsonValue] = {
    "id": "0199d2a4-7a52-7c3e-9b1f-2f9f3f6f8a10",
    "tenant_id": "acme",
    "conversation_id": "conv-1",
    "role": "user",
    "name": "Ada",
    "content": "I love Python programming",
    "metadata": {"channel": "web"},
    "importance": 0.62,
    "importance_score": 0.62,
    "embedding_status": "completed",
    "embedding_error": None,
    "archived": False,
    "created_at": "2026-11-23T09:30:00Z",
    "updated_at": "2026-11-23T09:30:00Z",
    "language": None,
    "external_id": "crm-4711",
    "user_id": "ada",
    "agent_id": None,
    "ttl_seconds": None,
    "expires_at": None,
    "version": 1,
    "chat": None,
}
CONVERSATION_EXAMPLE: dict[str, JsonValue] = {
    "conversation_id": "conv-1",
    "messages": 2,
    "first_message_at": "2026-11-23T09:30:00Z",
    "last_message_at": "2026-11-23T09:31:00Z",
}


class Role(StrEnum):
    """Who speaks, as in the chat formats."""

    USER = "user"
    ASSISTANT = "assistant"
    SYSTEM = "system"
    TOOL = "tool"


class MetadataMode(StrEnum):
    """The way in which a change of metadata is applied."""

    MERGE = "merge"
    REPLACE = "replace"


class EmbeddingStatus(StrEnum):
    """Status of a message's embedding. Searches still find a failed message by its words."""

    PENDING = "pending"
    COMPLETED = "completed"
    FAILED = "failed"


def storable(text: str) -> str:
    if "\0" in text:
        raise ValueError("must not hold the character NUL")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("must not hold half of a surrogate pair") from None
    return text


def not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be blank")
    return text


def not_boolean(value: object) -> object:
    """Reject booleans. Pydantic accepts true as 1; the schema does not."""
    if isinstance(value, bool):
        raise ValueError("must be a number")  # noqa: TRY004 - pydantic turns ValueErrors alone into a 422
    return value


def not_number(value: object) -> object:
    """Reject numbers. Pydantic accepts 1 as true, and any number as a time; the schema does not."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise ValueError("must not be a number")  # noqa: TRY004 - as above
    return value


def _plausible_time(when: datetime) -> datetime:
    if when < EPOCH:
        raise ValueError("must not be before 1970")
    if when > datetime.now(UTC) + CLOCK_SKEW:
        raise ValueError("must not be in the future")
    in_utc(when)
    return _in_whole_minutes(when)


def _to_come(when: datetime) -> datetime:
    expires = in_utc(when)
    if expires <= datetime.now(UTC):
        raise ValueError("must be in the future")
    return expires


def _in_whole_minutes(when: datetime) -> datetime:
    """Return the time in its zone, with the UTC offset rounded to minutes. No present-day offset has seconds."""
    offset = when.utcoffset() or timedelta()
    minutes = round(offset / timedelta(minutes=1))
    return when.astimezone(timezone(timedelta(minutes=minutes)) if minutes else UTC)


def in_utc(when: datetime) -> datetime:
    try:
        return when.astimezone(UTC)
    except OverflowError:
        raise ValueError("must be between the years 1 and 9999 in UTC") from None


# For lookups: names stored before the `in_one_line` rule can still be read and deleted.
StoredIdentifier = Annotated[
    str,
    Field(min_length=1, max_length=255, json_schema_extra=NOT_BLANK),
    AfterValidator(storable),
    AfterValidator(not_blank),
]
Identifier = Annotated[StoredIdentifier, Field(json_schema_extra=NEW_NAME), AfterValidator(in_one_line)]
ExternalId = Annotated[
    str,
    Field(min_length=1, max_length=MAX_EXTERNAL_ID_CHARACTERS, json_schema_extra=NEW_NAME),
    AfterValidator(storable),
    AfterValidator(not_blank),
    AfterValidator(in_one_line),
]
TenantId = Annotated[
    StoredIdentifier,
    BeforeValidator(the_tenant),
    AfterValidator(named),
    Field(
        default_factory=bound_tenant,
        validate_default=True,
        description="Whose memory it is. May be left out with a key that is bound to a tenant.",
    ),
]
NewTenantId = Annotated[TenantId, Field(json_schema_extra=NEW_NAME), AfterValidator(in_one_line)]
TenantOrAll = Annotated[StoredIdentifier | None, AfterValidator(tenant_if_any), AfterValidator(named)]
NewTenantOrAll = Annotated[Identifier | None, AfterValidator(tenant_if_any), AfterValidator(named)]
UserId = Annotated[StoredIdentifier | None, AfterValidator(user_if_any)]
NewUserId = Annotated[Identifier | None, AfterValidator(user_if_any)]
TenantInPath = Annotated[StoredIdentifier, AfterValidator(tenant_if_any), AfterValidator(named)]
NewTenantInPath = Annotated[TenantInPath, Field(json_schema_extra=NEW_NAME), AfterValidator(in_one_line)]
Content = Annotated[
    str,
    Field(min_length=1, max_length=MAX_CONTENT_CHARACTERS, json_schema_extra=NOT_BLANK),
    AfterValidator(storable),
    AfterValidator(not_blank),
]
Metadata = Annotated[dict[str, Any], BeforeValidator(sound_metadata)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False), BeforeValidator(not_boolean)]
PastTime = Annotated[AwareDatetime, BeforeValidator(not_number), AfterValidator(_plausible_time)]
Time = Annotated[AwareDatetime, BeforeValidator(not_number), AfterValidator(in_utc)]
FutureTime = Annotated[AwareDatetime, BeforeValidator(not_number), AfterValidator(_to_come)]
Seconds = Annotated[int, Field(ge=1, le=MAX_TTL_SECONDS), BeforeValidator(not_boolean)]
Flag = Annotated[bool, BeforeValidator(not_number)]
LanguageCode = Annotated[str, Field(json_schema_extra={"enum": list(LANGUAGES)}), AfterValidator(known_language)]


class Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


Expiring = TypeVar("Expiring", "NewMessage", "Change")


def expires_once(given: Expiring) -> Expiring:
    if given.ttl_seconds is not None and given.expires_at is not None:
        raise ValueError("must have either ttl_seconds or expires_at")
    return given


class NewMessage(Value):
    """A message to store."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "tenant_id": "acme",
                    "conversation_id": "conv-1",
                    "role": "user",
                    "name": "Ada",
                    "content": "I love Python programming",
                    "metadata": {"channel": "web"},
                }
            ]
        }
    )

    tenant_id: NewTenantId
    conversation_id: Identifier
    role: Role
    content: Content
    name: Identifier | None = Field(default=None, description="Who spoke, as in the chat formats.")
    metadata: Metadata = Field(default_factory=dict)
    importance_override: Share | None = Field(default=None, description="Replaces the computed importance.")
    created_at: PastTime | None = Field(
        default=None,
        description="When it was said, in the sender's time zone, which decides its day. Now in UTC, if left out.",
    )
    language: LanguageCode | None = Field(
        default=None, description="Its language. Null: the tenant's, or the detected one."
    )
    id: UUID | None = Field(default=None, description="Chosen by the caller. Generated if left out.")
    external_id: ExternalId | None = Field(
        default=None, description="The caller's own name for the message, unique in its tenant."
    )
    user_id: NewUserId = Field(
        default=None, validate_default=True, description="Which of the tenant's users it belongs to."
    )
    agent_id: Identifier | None = Field(default=None, description="Which agent it belongs to.")
    ttl_seconds: Seconds | None = Field(default=None, description="It expires this many seconds after it was stored.")
    expires_at: FutureTime | None = Field(default=None, description="When it expires: no read finds it from then on.")

    _expires_once = model_validator(mode="after")(expires_once)


class Change(Value):
    """A change of a message or a fact: the fields that both have. Omitted fields are unchanged."""

    NEVER_NULL: ClassVar[frozenset[str]] = frozenset({"content", "metadata"})

    content: Content | SkipJsonSchema[None] = None
    metadata: Metadata | SkipJsonSchema[None] = Field(
        default=None,
        description="Merged into the stored metadata as a JSON Merge Patch (RFC 7396): null removes a key.",
    )
    metadata_mode: MetadataMode = Field(
        default=MetadataMode.MERGE, description="`replace`: `metadata` replaces the stored metadata."
    )
    importance_override: Share | None = Field(default=None, description="Null: use the computed importance again.")
    language: LanguageCode | None = None
    ttl_seconds: Seconds | None = Field(default=None, description="It expires this many seconds after this change.")
    expires_at: FutureTime | None = Field(
        default=None, description="When it expires. Null for this or `ttl_seconds`: it does not expire."
    )

    _expires_once = model_validator(mode="after")(expires_once)

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("must change something")
        if "metadata_mode" in self.model_fields_set and "metadata" not in self.model_fields_set:
            raise ValueError("metadata_mode must come with metadata")
        for name in self.model_fields_set & self.NEVER_NULL:
            if getattr(self, name) is None:
                raise ValueError(f"{name} must not be null")
        return self


class MessageChange(Change):
    """A change of a message. Omitted fields stay as they are; new content or a new name is embedded again."""

    model_config = ConfigDict(
        json_schema_extra={
            "minProperties": 1,
            "dependentRequired": {"metadata_mode": ["metadata"]},
            "examples": [{"content": "I love Rust programming", "metadata": {"channel": None, "reviewed": True}}],
        }
    )

    name: Identifier | None = None


class Message(Value):
    """A stored message."""

    model_config = ConfigDict(json_schema_extra={"examples": [MESSAGE_EXAMPLE]})

    id: UUID
    tenant_id: str
    conversation_id: str
    role: Role
    name: str | None
    content: str
    metadata: dict[str, Any]
    importance_score: float | None = Field(
        description="`importance` by its old name.", json_schema_extra={"deprecated": True}
    )
    embedding_status: EmbeddingStatus
    embedding_error: str | None = Field(default=None, description="Why the last attempt to embed it failed.")
    archived: bool
    created_at: datetime = Field(description="In the sender's time zone.")
    updated_at: datetime
    language: str | None = Field(default=None, description="As it was sent.")
    external_id: str | None = None
    user_id: str | None = None
    agent_id: str | None = None
    ttl_seconds: int | None = None
    expires_at: datetime | None = None
    version: int = Field(default=1, description="Starts at 1 and counts callers' changes. See `ETag`.")
    chat: dict[str, Any] | None = Field(
        default=None,
        description="The message as a chat format sent it, with its parts and calls of tools; null for a plain text.",
    )

    @computed_field  # type: ignore[prop-decorator]
    @property
    def importance(self) -> float | None:
        """0 to 1; null until the message is scored, a moment after it was stored."""
        return self.importance_score


class MessagePage(Value):
    """A page of messages, newest first."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"items": [MESSAGE_EXAMPLE], "next_cursor": None}]})

    items: list[Message]
    next_cursor: str | None = Field(description="Give it back as `cursor` for the next page; null at the end.")


class Conversation(Value):
    """A conversation, with the count and the times of its messages."""

    model_config = ConfigDict(json_schema_extra={"examples": [CONVERSATION_EXAMPLE]})

    conversation_id: str
    messages: int
    first_message_at: datetime
    last_message_at: datetime


class ConversationPage(Value):
    """A page of conversations, most recently used first."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"items": [CONVERSATION_EXAMPLE], "next_cursor": None}]})

    items: list[Conversation]
    next_cursor: str | None
