"""Zep's messages: `{"uuid", "role_type": "user", "role": "Lena", "content", "created_at"}`.

A list of them, its API's `{"messages": [...]}`, sessions with their messages, and a message in each line are accepted.
"""

from collections.abc import Iterator
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
    name_of,
    objects_of,
    said,
    to_turn,
)

NAME = "zep"
OWN_FIELDS = {*CHAT_FIELDS, *TIME_FIELDS, *CONVERSATION_FIELDS, "role_type", "metadata", "uuid", "uuid_", "updated_at"}
# Values of `role_type` without a role: the message counts as a user's.
ROLES = {"norole": "user", "": "user", "None": "user"}


def fits(record: Any) -> bool:
    """Return whether a record has this format."""
    return any(map(_is_message, (message for _, messages in _sessions(record) for message in messages)))


def read(record: Any, place: Place) -> Read:
    """Yield the messages of a record."""
    if not any(messages for _, messages in _sessions(record)):
        yield LeftOut(str(place), "holds no messages")
    number = 0
    for session, messages in _sessions(record):
        for index, message in enumerate(messages, 1):
            number += 1
            one_by_one = message is record
            where = str(place) if one_by_one else place.of(number)
            if _is_message(message):
                named = conversation_of(message if one_by_one else session, place.file)
                yield from _turn(message, where, named, place.line if one_by_one else index)
            else:
                yield LeftOut(where, "is no message")


def _is_message(value: Any) -> bool:
    return isinstance(value, dict) and "role_type" in value and "content" in value


def _sessions(record: Any) -> Iterator[tuple[dict[str, Any], list[Any]]]:
    """Yield each object around messages, and its messages."""
    each: Any
    if _is_message(record):
        yield {}, [record]
    elif isinstance(record, list) and any(map(_is_message, record)):
        yield {}, record
    else:
        for each in objects_of(record, "sessions"):
            if isinstance(each, dict):
                memory = each.get("memory")
                holder = memory if isinstance(memory, dict) else each
                messages = holder.get("messages")
                yield each, messages if isinstance(messages, list) else []


def _turn(message: dict[str, Any], where: str, conversation_id: str, index: int) -> Read:
    kind, own = str(message["role_type"]), message.get("metadata")
    known_as = name_of(message.get("uuid") or message.get("uuid_"))
    yield from to_turn(
        Spoken(
            place=where,
            index=index,
            conversation_id=conversation_id,
            chat={
                "role": ROLES.get(kind, kind),
                "name": name_of(message.get("name") or message.get("role")),
                "content": message["content"],
            },
            metadata={**said(message, OWN_FIELDS), **(own if isinstance(own, dict) else {})},
            times=[message],
            identity=f"zep\0{known_as}" if known_as else None,
            external_id=known_as,
        )
    )
