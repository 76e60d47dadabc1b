"""Chat logs in OpenAI's format: `{"messages": [{"role", "content", "name"?}, ...]}`, or one message in each line.

Anthropic's messages are alike. Gemini's `contents` and the items of OpenAI's Responses (`input`, `output`) are read
too.
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
# Items of Responses that have no role, and whose they are.
ITEMS = {
    "function_call": "assistant",
    "custom_tool_call": "assistant",
    "reasoning": "assistant",
    "function_call_output": "tool",
    "custom_tool_call_output": "tool",
}


def fits(record: Any) -> bool:
    """Whether a record is of this format."""
    return any(map(_is_message, _messages(record)[1]))


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
    # Of Gemini's contents one that stands alone may have no role.
    return {"role": "user" if "parts" in message else None, **message}


def _turn(message: dict[str, Any], around: Mapping[str, Any], where: str, conversation_id: str, index: int) -> Read:
    chat = _chat(message)
    besides = set(message) if chat.get("content") == [message] else MESSAGE_FIELDS | set(CONVERSATION_FIELDS)
    yield from to_turn(
        Spoken(
            place=where,
            index=index,
            conversation_id=conversation_id,
            chat=chat,
            metadata=said(message, besides),
            # What a conversation's time is, is its first message's.
            times=[message, around] if index == 1 else [message],
        )
    )
