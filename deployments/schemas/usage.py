"""Response models of usage: a tenant's stored and embedded messages, and its quotas."""

from pydantic import ConfigDict, Field, JsonValue

from deployments.schemas.messages import Value

USAGE_EXAMPLE: dict[str, JsonValue] = {
    "tenant_id": "acme",
    "user_id": None,
    "messages": 1200,
    "bytes": 148_213,
    "pending_embeddings": 3,
    "embedded_today": 87,
    "quotas": {"messages": 100_000, "bytes": None, "embeddings_per_day": 10_000},
}


class Quotas(Value):
    """Limits of what a tenant may store, and may have embedded in a day (UTC). Null: no limit."""

    messages: int | None
    bytes: int | None
    embeddings_per_day: int | None


class Usage(Value):
    """Stored messages of a tenant or one of its users, and embeddings since midnight UTC.

    Archived messages count. For a tenant, expired messages count until they are deleted.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [USAGE_EXAMPLE]})

    tenant_id: str
    user_id: str | None = Field(default=None, description="Null: all users.")
    messages: int
    bytes: int = Field(description="Size of the messages' contents in UTF-8.")
    pending_embeddings: int
    embedded_today: int | None = Field(description="Null for a user: embeddings are counted only per tenant.")
    quotas: Quotas = Field(description="Quotas of the tenant.")
