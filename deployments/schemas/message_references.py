"""The base of models that refer to a message by its id."""

from uuid import UUID

from pydantic import Field, computed_field

from deployments.schemas.messages import Value


class OfMessage(Value):
    """A reference to a message, under both names of its id."""

    message_id: UUID = Field(description="`id` by its old name.", json_schema_extra={"deprecated": True})

    @computed_field  # type: ignore[prop-decorator]
    @property
    def id(self) -> UUID:
        """The message's id."""
        return self.message_id
