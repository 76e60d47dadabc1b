"""Conversion of database rows to the service's types."""

from collections.abc import Mapping
from typing import Any

import orjson

from deployments.schemas.facts import Fact
from deployments.schemas.messages import Conversation, EmbeddingStatus, Message, Role
from deployments.storage.postgres.zones import zoned


def to_message(row: Mapping[str, Any]) -> Message:
    """Convert a row of `messages` with its job's last error, without validation: stored data is trusted."""
    return Message.model_construct(
        **{
            **zoned(parsed(row)),
            "role": Role(row["role"]),
            "embedding_status": EmbeddingStatus(row["embedding_status"]),
        }
    )


def to_fact(row: Mapping[str, Any]) -> Fact:
    """Convert a row of `read_facts`, without validation: stored data is trusted."""
    return Fact.model_construct(
        **{
            **zoned(row),
            "metadata": orjson.loads(row["metadata"]),
            "embedding_status": EmbeddingStatus(row["embedding_status"]),
        }
    )


def parsed(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns of a row of `messages`, with the JSON of `metadata` and `chat` parsed."""
    chat = row["chat"]
    return {**row, "metadata": orjson.loads(row["metadata"]), "chat": None if chat is None else orjson.loads(chat)}


def chat_json(chat: Mapping[str, Any] | None) -> str | None:
    """Return the JSON for the column `chat`."""
    return None if chat is None else orjson.dumps(chat).decode()


def to_conversation(row: Mapping[str, Any]) -> Conversation:
    """Convert a row of one conversation's counts."""
    return Conversation.model_construct(**{name: row[name] for name in Conversation.model_fields})
