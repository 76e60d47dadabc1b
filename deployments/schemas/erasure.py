"""Response models of erasures."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from pydantic import ConfigDict, Field, JsonValue

from deployments.schemas.messages import Value

ERASURE_EXAMPLE: dict[str, JsonValue] = {
    "id": "0199d2a4-7a52-7c3e-9b1f-2f9f3f6f8a10",
    "tenant_id": "acme",
    "conversation_id": None,
    "user_id": None,
    "status": "completed",
    "messages": 1200,
    "vectors": 1197,
    "pending_embeddings": 3,
    "earlier_versions": 12,
    "idempotency_keys": 40,
    "revoked_keys": 2,
    "requested_by": "root",
    "started_at": "2026-11-23T09:30:00Z",
    "finished_at": "2026-11-23T09:30:02Z",
}


class ErasureStatus(StrEnum):
    """Progress of an erasure. A repeated request continues an unfinished one."""

    UNFINISHED = "unfinished"
    COMPLETED = "completed"


class Erasure(Value):
    """A receipt: what was erased so far of a tenant, a conversation or a user."""

    model_config = ConfigDict(json_schema_extra={"examples": [ERASURE_EXAMPLE]})

    id: UUID
    tenant_id: str
    conversation_id: str | None = Field(description="Null: all conversations.")
    user_id: str | None = Field(default=None, description="Null: all users. With neither: everything of the tenant.")
    status: ErasureStatus
    messages: int
    vectors: int
    pending_embeddings: int
    earlier_versions: int = Field(description="Earlier versions of its messages.")
    idempotency_keys: int = Field(description="Answers stored for idempotent retries.")
    revoked_keys: int = Field(description="Revoked API keys of the tenant or the user.")
    requested_by: str = Field(description="A key's prefix, `root`, `anyone` or `job`.")
    started_at: datetime
    finished_at: datetime | None
