"""Chat logs in OpenAI's format: `{"messages": [{"role", "content", "name"?}, ...]}`, or one message in each line.

Anthropic's messages are similar. Gemini's `contents` and the items of OpenAI's Responses (`input`, `output`) are
accepted too.
"""

from collections.abc import Mapping
from typing import Any

from jobs.transfer.formats.turns import (
    CHAT_FIELDS,
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
MESSAGE_FIELDS = {*CHAT_FIELDS, *TIME_FIELDS}
LISTS = ("messages", "contents", "input", "output")
# Items of Responses without a role, and the role that each gets.
ITEMS = {
    "function_call": "assistant",
    "custom_tool_call": "assistant",
    "reasoning": "assistant",
    "function_call_output": "tool",
    "custom_tool_call_output": "tool",
}


def fits(record: Any) -> bool:
    """Return whether a record has this format."""
    return any(map(_is_message, _messages(record)[1]))


def read(record: Any, place: Place) -> Read:
    """Yield the messages of a record."""
    parent, messages = _messages(record)
    if not messages:
        yield LeftOut(str(place), "holds no messages")
    if messages == [record]:
        yield from _turn(record, {}, str(place), conversation_of(record, place.file), place.line)
        return
    conversation_id = place.file if parent is None else conversation_of(parent, f"{place.file}-{place.line}")
    for number, message in enumerate(messages, 1):
        if isinstance(message, dict):
            yield from _turn(message, parent or {}, place.of(number), conversation_id, number)
        else:
            yield LeftOut(place.of(number), "is no message")


def _messages(record: Any) -> tuple[dict[str, Any] | None, list[Any]]:
    """Return the object around the messages of a record, and the messages."""
    if isinstance(record, list):
        return None, record
    if not isinstance(record, dict):
        return None, []
    found = next((record[name] for name in LISTS if isinstance(record.get(name), list)), None)
    if found is None or _is_message(record):
        return None, [record] if _is_message(record) else []
    return record, found


def _is_message(value: Any) -> bool:
    return isinstance(value, dict) and ("role" in value or str(value.get("type")) in ITEMS or "parts" in value)


def _chat(message: dict[str, Any]) -> dict[str, Any]:
    if "role" in message:
        return message
    if str(message.get("type")) in ITEMS:
        return {"role": ITEMS[message["type"]], "content": [message]}
    # A single item of Gemini's contents may have no role.
    return {"role": "user" if "parts" in message else None, **message}


def _turn(message: dict[str, Any], parent: Mapping[str, Any], where: str, conversation_id: str, index: int) -> Read:
    chat = _chat(message)
    excluded = set(message) if chat.get("content") == [message] else MESSAGE_FIELDS | set(CONVERSATION_FIELDS)
    yield from to_turn(
        Spoken(
            place=where,
            index=index,
            conversation_id=conversation_id,
            chat=chat,
            metadata=said(message, excluded),
            # The conversation's time is that of its first message.
            times=[message, parent] if index == 1 else [message],
        )
    )
