"""Chat logs in OpenAI's format: `{"messages": [{"role", "content", "name"?}, ...]}`, or one message in each line."""

from collections.abc import Mapping
from typing import Any

from jobs.moving.formats.turns import (
    CONVERSATION_FIELDS,
    TIME_FIELDS,
    LeftOut,
    Place,
    Read,
    Spoken,
    conversation_of,
    said,
    to_turn,
)

NAME = "openai"
MESSAGE_FIELDS = {"role", "content", "name", *TIME_FIELDS}


def fits(record: Any) -> bool:
    """Whether a record is of this format."""
    return any(isinstance(each, dict) and "role" in each for each in _messages(record)[1])


def read(record: Any, place: Place) -> Read:
    """What is said in a record."""
    around, messages = _messages(record)
    if not messages:
        yield LeftOut(str(place), "holds no messages")
    if messages == [record]:
        yield from _turn(record, {}, str(place), conversation_of(record, place.file), place.line)
        return
    conversation_id = place.file if around is None else conversation_of(around, f"{place.file}-{place.line}")
    for number, message in enumerate(messages, 1):
        if isinstance(message, dict):
            yield from _turn(message, around or {}, place.of(number), conversation_id, number)
        else:
            yield LeftOut(place.of(number), "is no message")


def _messages(record: Any) -> tuple[dict[str, Any] | None, list[Any]]:
    """What is around the messages of a record, and they themselves."""
    if isinstance(record, list):
        return None, record
    if isinstance(record, dict) and isinstance(record.get("messages"), list):
        return record, record["messages"]
    return None, [record] if isinstance(record, dict) and "role" in record else []


def _turn(message: dict[str, Any], around: Mapping[str, Any], where: str, conversation_id: str, index: int) -> Read:
    yield from to_turn(
        Spoken(
            place=where,
            index=index,
            conversation_id=conversation_id,
            role=str(message.get("role")),
            name=message.get("name"),
            content=message.get("content"),
            metadata=said(message, MESSAGE_FIELDS | set(CONVERSATION_FIELDS)),
            # What a conversation's time is, is its first message's.
            times=[message, around] if index == 1 else [message],
            calls=bool(message.get("tool_calls") or message.get("function_call")),
        )
    )
