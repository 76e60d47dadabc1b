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
            "embedding_status": EmbeddingStatus(row["embedding_status"]),
        }
    )


def to_conversation(row: Mapping[str, Any]) -> Conversation:
    """A row of one conversation's counts."""
    return Conversation.model_construct(**row)
