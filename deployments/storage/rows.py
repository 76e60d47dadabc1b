"""Database rows as the service's own words."""

from collections.abc import Mapping
from typing import Any

import orjson

from deployments.schemas import Conversation, EmbeddingStatus, Message, Role
from deployments.storage.zones import zoned


def to_message(row: Mapping[str, Any]) -> Message:
    """A row of `messages` with its job's last error; trusted, so not validated again."""
    return Message.model_construct(
        **{
            **zoned(row),
            "role": Role(row["role"]),
            "metadata": orjson.loads(row["metadata"]),
            "chat": to_chat(row["chat"]),
            "embedding_status": EmbeddingStatus(row["embedding_status"]),
        }
    )


def to_chat(column: str | None) -> dict[str, Any] | None:
    """The column `chat` as an object."""
    return None if column is None else orjson.loads(column)


def chat_json(chat: Mapping[str, Any] | None) -> str | None:
    """What is written into the column `chat`."""
    return None if chat is None else orjson.dumps(chat).decode()


def to_conversation(row: Mapping[str, Any]) -> Conversation:
    """A row of one conversation's counts."""
    return Conversation.model_construct(**row)
