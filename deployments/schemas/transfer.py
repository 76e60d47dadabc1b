"""The file format for moving messages between installations: a header, and one line for each message."""

from base64 import b64decode
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, Field, model_validator

from deployments.schemas.chat import Chat
from deployments.schemas.facts import SourceIds
from deployments.schemas.messages import (
    EmbeddingStatus,
    NewMessage,
    PastTime,
    Share,
    StoredIdentifier,
    TenantId,
    Time,
    Value,
    storable,
)

FORMAT: Literal["ai-memory-layer"] = "ai-memory-layer"
VERSION: Literal[1] = 1
BYTES_PER_NUMBER = 2


class VectorSpace(Value):
    """The embedding space of a file's vectors. Model and dimensions must match; the provider is informational."""

    provider: str
    model: str
    dimensions: Annotated[int, Field(ge=1)]


class Header(Value):
    """The first line of a file. Its counts are of the lines after it: fewer lines mean a truncated file.

    `space`: None if the file has no vectors. `user_id`: None if it holds all messages of the tenant.
    """

    format: Literal["ai-memory-layer"] = FORMAT
    version: Literal[1] = VERSION
    tenant_id: StoredIdentifier
    user_id: StoredIdentifier | None = None
    exported_at: AwareDatetime
    space: VectorSpace | None
    messages: Annotated[int, Field(ge=0)]
    vectors: Annotated[int, Field(ge=0)]


class MovedFact(Value):
    """The fields of a fact that a message lacks. Its subject is in `name`."""

    source_ids: SourceIds
    valid_from: Time
    valid_to: Time | None
    superseded_by: UUID | None
    superseded_at: Time | None


class MovedMessage(NewMessage):
    """A message or a fact with all its stored fields, validated like one stored over the API.

    `embedding`: base64 of the vector as little-endian 16-bit floats. `conversation_id`: empty for a fact without one.
    """

    id: UUID
    # Names stored before the one-line rule stay valid.
    tenant_id: TenantId
    conversation_id: StoredIdentifier | Literal[""]
    name: StoredIdentifier | None = None
    created_at: PastTime
    updated_at: Time
    # It may be in the past.
    expires_at: Time | None = None
    importance: Share | None = None
    archived: bool = False
    archived_at: Time | None = None
    embedding_status: EmbeddingStatus = EmbeddingStatus.PENDING
    embedding: str | None = None
    embedding_error: Annotated[str, AfterValidator(storable)] | None = None
    chat: Chat | None = None
    fact: MovedFact | None = None

    @model_validator(mode="after")
    def _has_a_conversation_or_is_a_fact(self) -> Self:
        if not self.conversation_id and self.fact is None:
            raise ValueError("conversation_id must not be empty")
        return self

    @model_validator(mode="after")
    def _expires_once(self) -> Self:
        """Allow both fields: a message stored with `ttl_seconds` has a known `expires_at`."""
        return self

    @model_validator(mode="after")
    def _has_a_vector_where_it_says_so(self) -> Self:
        if self.embedding is not None and self.embedding_status is not EmbeddingStatus.COMPLETED:
            raise ValueError("embedding must be null unless embedding_status is completed")
        return self

    def without_vector(self) -> Self:
        """Return a copy that will be embedded again. A failed message stays failed."""
        if self.embedding_status is not EmbeddingStatus.COMPLETED:
            return self
        return self.model_copy(update={"embedding": None, "embedding_status": EmbeddingStatus.PENDING})

    def with_ids(self, renamed: Callable[[UUID], UUID]) -> Self:
        """Return a copy with a new id. Ids that a fact refers to are renamed too."""
        fact = self.fact
        if fact is not None:
            successor = fact.superseded_by
            sources = [renamed(each) for each in fact.source_ids]
            fact = fact.model_copy(update={"source_ids": sources, "superseded_by": successor and renamed(successor)})
        return self.model_copy(update={"id": renamed(self.id), "fact": fact})

    def packed_vector(self, dimensions: int) -> bytes | None:
        """Return the vector's bytes or None. Raises `ValueError` if it is not base64 or has other dimensions."""
        if self.embedding is None:
            return None
        packed = b64decode(self.embedding, validate=True)
        if len(packed) != BYTES_PER_NUMBER * dimensions:
            raise ValueError(f"embedding has not {dimensions} dimensions")
        return packed


class SnapshotCounts(Value):
    """Counts of a tenant at the time of a snapshot. `space`: the space of its vectors."""

    taken_at: datetime
    messages: int
    vectors: int
    space: VectorSpace
