"""How an answer names a message that it does not show whole."""

from uuid import UUID

from pydantic import Field, computed_field

from deployments.schemas import Value


class OfMessage(Value):
    """What an answer says of a message that it does not show whole."""

    message_id: UUID = Field(description="`id` by its old name.", json_schema_extra={"deprecated": True})

    @computed_field  # type: ignore[prop-decorator]
    @property
    def id(self) -> UUID:
        """The message's id."""
        return self.message_id
