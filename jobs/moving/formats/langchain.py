"""LangChain's message histories, as `messages_to_dict` writes them: `{"type": "human", "data": {"content", ...}}`.

A file holds a list of them, or a message in each line, or in each line `{"session_id", "messages": [...]}`.
"""

from typing import Any

from jobs.moving.formats.turns import TIME_FIELDS, LeftOut, Place, Read, Spoken, conversation_of, said, to_turn

NAME = "langchain"
DATA_FIELDS = {"content", "type", "name", "role", "example", *TIME_FIELDS}
TIMES_STAND_IN = ("additional_kwargs", "response_metadata")


def fits(record: Any) -> bool:
    """Whether a record is of this format."""
    return any(_is_message(each) for each in _messages(record))


def read(record: Any, place: Place) -> Read:
    """What is said in a record."""
    messages = _messages(record)
    if not messages:
        yield LeftOut(str(place), "holds no messages")
    one_by_one = _is_message(record)
    around = record if isinstance(record, dict) and not one_by_one else {}
    conversation_id = conversation_of(around, place.file)
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
    return isinstance(value, dict) and isinstance(value.get("type"), str) and isinstance(value.get("data"), dict)


def _turn(message: dict[str, Any], where: str, conversation_id: str, index: int) -> Read:
    data = message["data"]
    # Of a ChatMessage the role stands in its data; of a part that was streamed the type ends in MessageChunk.
    speaker = str(data.get("role")) if message["type"] in {"chat", "ChatMessageChunk"} else message["type"]
    yield from to_turn(
        Spoken(
            place=where,
            index=index,
            conversation_id=conversation_id,
            role=speaker.removesuffix("MessageChunk").lower(),
            name=data.get("name"),
            content=data.get("content"),
            metadata=said(data, DATA_FIELDS),
            times=[data, *(data[name] for name in TIMES_STAND_IN if isinstance(data.get(name), dict))],
            calls=bool(data.get("tool_calls")),
        )
    )
