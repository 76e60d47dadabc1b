"""Requests that put or read messages by their external ids."""

from typing import Annotated, Self
from uuid import UUID

from pydantic import ConfigDict, Field, JsonValue, model_validator
from pydantic.json_schema import SkipJsonSchema

from deployments.schemas.chat import MessageForm
from deployments.schemas.messages import MAX_BATCH, ExternalId, NewMessage, TenantId, UserId, Value
from deployments.tenancy import Visible

PUT_EXAMPLE: dict[str, JsonValue] = {
    "tenant_id": "acme",
    "conversation_id": "crm",
    "role": "user",
    "external_id": "crm-4711",
    "content": "Ana prefers to be called at noon.",
}


class PutMessage(NewMessage):
    """A message to store. It replaces the message with the same external id, if any."""

    model_config = ConfigDict(json_schema_extra={"examples": [PUT_EXAMPLE]})

    external_id: ExternalId = Field(description="The caller's own name for the message, unique in its tenant.")


SentPut = Annotated[PutMessage, MessageForm()]


class NamedMessages(Value):
    """Messages of a tenant, by their ids or by their external ids."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [{"required": ["ids"]}, {"required": ["external_ids"]}],
            "examples": [{"tenant_id": "acme", "external_ids": ["crm-4711", "crm-4712"]}],
        }
    )

    tenant_id: TenantId
    user_id: UserId = Field(default=None, validate_default=True, description="Only messages of this user.")
    ids: Annotated[list[UUID], Field(min_length=1, max_length=MAX_BATCH)] | SkipJsonSchema[None] = None
    external_ids: Annotated[list[ExternalId], Field(min_length=1, max_length=MAX_BATCH)] | SkipJsonSchema[None] = None

    @property
    def seen(self) -> Visible:
        """Return whose messages are requested."""
        return Visible(self.tenant_id, self.user_id)

    @model_validator(mode="after")
    def _by_one_of_both(self) -> Self:
        given = [getattr(self, name) for name in self.model_fields_set & {"ids", "external_ids"}]
        if len(given) != 1 or given == [None]:
            raise ValueError("must have either ids or external_ids")
        return self
