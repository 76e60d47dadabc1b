"""Messages on their way from one installation to another: a header, and a line for each message."""

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
    """What the vectors of a file can be compared with. The provider is told to people; the rest must be equal."""

    provider: str
    model: str
    dimensions: Annotated[int, Field(ge=1)]


class Header(Value):
    """The first line of a file. Its counts are those of the lines behind it: fewer tell of a file that was cut off.

    `space`: None where the file holds no vectors. `user_id`: None where it holds all of the tenant's.
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
    """What a fact has and a message has not; its subject is its name."""

    source_ids: SourceIds
    valid_from: Time
    valid_to: Time | None
    superseded_by: UUID | None
    superseded_at: Time | None


class MovedMessage(NewMessage):
    """A message or a fact with all that is known of it, held to the bounds of one that is stored over the API.

    `embedding`: base64 of the vector's numbers, each of 16 bits, the lower byte first. `conversation_id`: empty for a
    fact of none.
    """

    id: UUID
    # As it was stored, which may have been before a name had to be in one line.
    tenant_id: TenantId
    conversation_id: StoredIdentifier | Literal[""]
    name: StoredIdentifier | None = None
    created_at: PastTime
    updated_at: Time
    # It may have expired by now.
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
        """Allow both: when what was stored with `ttl_seconds` expires is known."""
        return self

    @model_validator(mode="after")
    def _has_a_vector_where_it_says_so(self) -> Self:
        if self.embedding is not None and self.embedding_status is not EmbeddingStatus.COMPLETED:
            raise ValueError("embedding must be null unless embedding_status is completed")
        return self

    def without_vector(self) -> Self:
        """The same, to be embedded again; what had failed stays so."""
        if self.embedding_status is not EmbeddingStatus.COMPLETED:
            return self
        return self.model_copy(update={"embedding": None, "embedding_status": EmbeddingStatus.PENDING})

    def with_ids(self, renamed: Callable[[UUID], UUID]) -> Self:
        """The same under another id; what a fact names is renamed alike."""
        fact = self.fact
        if fact is not None:
            successor = fact.superseded_by
            sources = [renamed(each) for each in fact.source_ids]
            fact = fact.model_copy(update={"source_ids": sources, "superseded_by": successor and renamed(successor)})
        return self.model_copy(update={"id": renamed(self.id), "fact": fact})

    def packed_vector(self, dimensions: int) -> bytes | None:
        """The vector's bytes. Raises `ValueError` where it is no base64 or has other dimensions."""
        if self.embedding is None:
            return None
        packed = b64decode(self.embedding, validate=True)
        if len(packed) != BYTES_PER_NUMBER * dimensions:
            raise ValueError(f"embedding has not {dimensions} dimensions")
        return packed


class SnapshotCounts(Value):
    """What a tenant had at the moment of a snapshot. `space`: what its vectors belong to."""

    taken_at: datetime
    messages: int
    vectors: int
    space: VectorSpace
