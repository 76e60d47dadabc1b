"""LangChain's message histories, as `messages_to_dict` writes them: `{"type": "human", "data": {"content", ...}}`.

And as `dumpd` does: `{"lc": 1, "type": "constructor", "id": [..., "HumanMessage"], "kwargs": {"content", ...}}`.

A file holds a list of them, or a message in each line, or in each line `{"session_id", "messages": [...]}`.
"""

from typing import Any

from deployments.schemas.chat_text import FIELDS, ROLES
from jobs.transfer.formats.turns import (
    CHAT_FIELDS,
    TIME_FIELDS,
    LeftOut,
    Place,
    Read,
    Spoken,
    conversation_of,
    said,
    to_turn,
)

NAME = "langchain"
DATA_FIELDS = {*CHAT_FIELDS, "type", "example", *TIME_FIELDS}
TIMES_STAND_IN = ("additional_kwargs", "response_metadata")


def fits(record: Any) -> bool:
    """Return whether a record has this format."""
    return any(_is_message(each) for each in _messages(record))


def read(record: Any, place: Place) -> Read:
    """Yield the messages of a record."""
    messages = _messages(record)
    if not messages:
        yield LeftOut(str(place), "holds no messages")
    one_by_one = _is_message(record)
    parent = record if isinstance(record, dict) and not one_by_one else {}
    conversation_id = conversation_of(parent, place.file)
    for number, message in enumerate(messages, 1):
        where = str(place) if one_by_one else place.of(number)
        if _is_message(message):
            yield from _turn(message, where, conversation_id, place.line if one_by_one else number)
        else:
            yield LeftOut(where, "is no message")


def _messages(record: Any) -> list[Any]:
    if isinstance(record, list):
        return record
    if _is_message(record):
        return [record]
    messages = record.get("messages") if isinstance(record, dict) else None
    return messages if isinstance(messages, list) else []


def _is_message(value: Any) -> bool:
    return _data(value) is not None


def _data(value: Any) -> dict[str, Any] | None:
    if not isinstance(value, dict) or not isinstance(value.get("type"), str):
        return None
    data = value.get("kwargs" if "lc" in value else "data")
    return data if isinstance(data, dict) else None


def _speaker(message: dict[str, Any], data: dict[str, Any]) -> str:
    path = message.get("id")
    if "lc" in message:
        kind = str(data.get("type") or (path[-1] if isinstance(path, list) and path else "")).removesuffix("Message")
    else:
        kind = message["type"]
    # A ChatMessage has its role in its data; the type of a streamed chunk ends in MessageChunk.
    role = str(data.get("role")) if kind in {"chat", "Chat", "ChatMessageChunk"} else kind
    spoken = role.removesuffix("MessageChunk").lower()
    return ROLES.get(spoken, spoken)


def _turn(message: dict[str, Any], where: str, conversation_id: str, index: int) -> Read:
    data = _data(message) or {}
    more = data.get("additional_kwargs")
    # Fields in the provider's format. LangChain's own `tool_calls` override them.
    answered = {name: more[name] for name in FIELDS if more.get(name)} if isinstance(more, dict) else {}
    yield from to_turn(
        Spoken(
            place=where,
            index=index,
            conversation_id=conversation_id,
            chat={**answered, **said(data, set()), "content": data.get("content"), "role": _speaker(message, data)},
            metadata=said(data, DATA_FIELDS),
            times=[data, *(data[name] for name in TIMES_STAND_IN if isinstance(data.get(name), dict))],
        )
    )
