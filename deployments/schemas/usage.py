"""Response models of usage: what a tenant has stored and had embedded, and its quotas."""

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
    """What a tenant may store, and have embedded from midnight to midnight UTC; null: as much as it likes."""

    messages: int | None
    bytes: int | None
    embeddings_per_day: int | None


class Usage(Value):
    """What a tenant or one of its users has stored and had embedded since midnight UTC.

    What is archived still counts, and of a tenant what has expired and is not deleted yet.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [USAGE_EXAMPLE]})

    tenant_id: str
    user_id: str | None = Field(default=None, description="Null: all users.")
    messages: int
    bytes: int = Field(description="Of the messages' contents, in UTF-8.")
    pending_embeddings: int
    embedded_today: int | None = Field(description="Null for a user: it is counted for the tenant.")
    quotas: Quotas = Field(description="Of the tenant.")
