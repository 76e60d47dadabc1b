"""Response models of a tenant's users."""

from datetime import datetime

from pydantic import ConfigDict, Field, JsonValue

from deployments.schemas.messages import Value

USER_EXAMPLE: dict[str, JsonValue] = {
    "user_id": "ada",
    "messages": 42,
    "first_message_at": "2026-11-23T09:30:00Z",
    "last_message_at": "2026-11-24T17:05:00Z",
}


class User(Value):
    """A user, with the count and the times of all its messages and facts."""

    model_config = ConfigDict(json_schema_extra={"examples": [USER_EXAMPLE]})

    user_id: str
    messages: int
    first_message_at: datetime
    last_message_at: datetime


class UserPage(Value):
    """A page of users, ordered by id."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"items": [USER_EXAMPLE], "next_cursor": None}]})

    items: list[User]
    next_cursor: str | None = Field(description="Give it back as `cursor` for the next page; null at the end.")
