"""Claude's `conversations.json`: `[{"uuid", "name", "chat_messages": [{"uuid", "sender", "text", "content"}]}]`."""

from typing import Any

from deployments.schemas.chat_text import ROLES
from jobs.transfer.formats.turns import (
    LeftOut,
    Place,
    Read,
    Spoken,
    conversations_of,
    name_of,
    objects_of,
    said,
    shown_path,
    to_turn,
)

NAME = "claude"


def fits(record: Any) -> bool:
    """Return whether a record has this format."""
    return any(map(_is_conversation, objects_of(record, "conversations")))


def read(record: Any, place: Place) -> Read:
    """Yield the messages of a record's conversations."""
    return conversations_of(record, place, _is_conversation, _conversation)


def _is_conversation(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("chat_messages"), list)


def _conversation(conversation: dict[str, Any], where: str, fallback: str) -> Read:
    conversation_id = name_of(conversation.get("uuid")) or fallback
    for index, message in enumerate(_shown(conversation), 1):
        at = f"{where}, message {index}"
        if isinstance(message, dict):
            yield from _turn(message, conversation, at, conversation_id, index)
        else:
            yield LeftOut(at, "is no message")


def _shown(conversation: dict[str, Any]) -> list[Any]:
    """Return the messages in order; if they name their parents, those of the branch that was shown last."""
    messages = conversation["chat_messages"]
    named = {each["uuid"]: each for each in messages if isinstance(each, dict) and isinstance(each.get("uuid"), str)}
    parents = {name: each.get("parent_message_uuid") for name, each in named.items()}
    if not any(isinstance(parent, str) and parent in named for parent in parents.values()):
        return messages if isinstance(messages, list) else []
    leaf = conversation.get("current_leaf_message_uuid")
    return [
        named[name]
        for name in shown_path(parents, leaf if isinstance(leaf, str) and leaf in named else next(reversed(named)))
    ]


def _turn(message: dict[str, Any], parent: dict[str, Any], where: str, conversation_id: str, index: int) -> Read:
    sender, known_as = str(message.get("sender")), name_of(message.get("uuid"))
    yield from to_turn(
        Spoken(
            place=where,
            index=index,
            conversation_id=conversation_id,
            chat={"role": ROLES.get(sender, sender), "content": _content(message)},
            metadata=said({"title": parent.get("name")}, set()),
            times=[message, parent] if index == 1 else [message],
            identity=f"claude\0{conversation_id}\0{known_as}" if known_as else None,
            external_id=known_as,
        )
    )


def _content(message: dict[str, Any]) -> str | list[Any]:
    """Return the text, or the blocks with attachments. Older exports have only a text."""
    blocks, text = message.get("content"), message.get("text")
    blocks = blocks if isinstance(blocks, list) else []
    if not blocks and isinstance(text, str) and text.strip():
        blocks = [{"type": "text", "text": text}]
    attached = [*map(_document, _objects(message, "attachments")), *map(_file, _objects(message, "files"))]
    only = blocks[0] if len(blocks) == 1 and not attached else None
    if isinstance(only, dict) and only.get("type") == "text" and isinstance(only.get("text"), str):
        return str(only["text"])
    return [*blocks, *attached]


def _objects(message: dict[str, Any], name: str) -> list[dict[str, Any]]:
    held = message.get(name)
    return [each for each in held if isinstance(each, dict)] if isinstance(held, list) else []


def _document(attachment: dict[str, Any]) -> dict[str, Any]:
    text = attachment.get("extracted_content")
    source = {"type": "text", "data": text if isinstance(text, str) else ""}
    return {"type": "document", "title": str(attachment.get("file_name") or "unnamed"), "source": source}


def _file(file: dict[str, Any]) -> dict[str, Any]:
    return {"type": "file", "filename": str(file.get("file_name") or file.get("file_uuid") or "unnamed")}
