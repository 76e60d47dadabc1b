"""ChatGPT's `conversations.json`: trees of messages, of which the branch that was shown last is imported."""

from typing import Any

from jobs.transfer.formats.turns import (
    Place,
    Read,
    Spoken,
    conversation_of,
    conversations_of,
    name_of,
    objects_of,
    said,
    shown_path,
    to_turn,
)

NAME = "chatgpt"
# Content types that are no part of the conversation: settings, and a model's reasoning.
UNSAID = {"user_editable_context", "model_editable_context", "thoughts", "reasoning_recap", "app_pairing_content"}
# The recipients of a message that calls no tool.
EVERYONE = (None, "all")


def fits(record: Any) -> bool:
    """Return whether a record has this format."""
    return any(map(_is_conversation, objects_of(record, "conversations")))


def read(record: Any, place: Place) -> Read:
    """Yield the messages shown in a record's conversations."""
    return conversations_of(record, place, _is_conversation, _conversation)


def _is_conversation(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("mapping"), dict)


def _conversation(conversation: dict[str, Any], where: str, fallback: str) -> Read:
    nodes = {name: node for name, node in conversation["mapping"].items() if isinstance(node, dict)}
    conversation_id = conversation_of(conversation, fallback)
    from_conversation = {"title": conversation.get("title")}
    path = shown_path({name: node.get("parent") for name, node in nodes.items()}, _shown_last(conversation, nodes))
    spoken = [(name, nodes[name].get("message")) for name in path]
    said_ones = [(name, message) for name, message in spoken if isinstance(message, dict) and _is_said(message)]
    for index, (name, message) in enumerate(said_ones, 1):
        yield from _turn(message, from_conversation, f"{where}, message {index}", conversation_id, index, name)


def _shown_last(conversation: dict[str, Any], nodes: dict[str, Any]) -> Any:
    """Return the node that was shown last, or the newest if the export does not name it."""
    shown = conversation.get("current_node")
    return (
        shown
        if isinstance(shown, str) and shown in nodes
        else max(nodes, key=lambda name: _time(nodes[name]), default=None)
    )


def _time(node: dict[str, Any]) -> float:
    message = node.get("message")
    time = message.get("create_time") if isinstance(message, dict) else None
    return float(time) if isinstance(time, int | float) else 0.0


def _is_said(message: dict[str, Any]) -> bool:
    """Return whether a person or a tool said something. Hidden and empty messages were never shown."""
    content, metadata = message.get("content"), message.get("metadata")
    if not isinstance(content, dict) or str(content.get("content_type")) in UNSAID:
        return False
    if isinstance(metadata, dict) and metadata.get("is_visually_hidden_from_conversation"):
        return False
    parts = _content(message)
    return bool(parts.strip() if isinstance(parts, str) else parts)


def _turn(
    message: dict[str, Any], from_conversation: dict[str, Any], where: str, conversation_id: str, index: int, node: str
) -> Read:
    author, metadata = message.get("author"), message.get("metadata")
    author = author if isinstance(author, dict) else {}
    model = metadata.get("model_slug") if isinstance(metadata, dict) else None
    known_as = name_of(message.get("id")) or node
    yield from to_turn(
        Spoken(
            place=where,
            index=index,
            conversation_id=conversation_id,
            chat={"role": author.get("role"), "name": author.get("name"), "content": _content(message)},
            metadata=said({**from_conversation, "model": model}, set()),
            times=[message],
            identity=f"chatgpt\0{conversation_id}\0{known_as}",
            external_id=known_as,
        )
    )


def _content(message: dict[str, Any]) -> str | list[Any]:
    """Return the content as a text, or as parts with their types."""
    content = message["content"]
    kind = content.get("content_type")
    if message.get("recipient") not in EVERYONE:
        called = "\n".join(_texts(content))
        return [{"type": "tool_call", "name": str(message["recipient"]), "arguments": called}] if called else ""
    parts = content.get("parts")
    if not isinstance(parts, list):
        text = "\n".join(_texts(content))
        return [{"type": kind, "title": content["title"], "text": text}] if content.get("title") and text else text
    parts = [each for each in parts if each not in ("", None)]
    if all(isinstance(each, str) for each in parts):
        return "\n".join(parts)
    return [{"type": each.get("content_type"), **each} if isinstance(each, dict) else each for each in parts]


def _texts(content: dict[str, Any]) -> list[str]:
    """Return the texts of code, of its output, of a quote or of an error."""
    parts = content.get("parts")
    held = [*(parts if isinstance(parts, list) else []), *map(content.get, ("name", "text", "result", "summary"))]
    return [each for each in held if isinstance(each, str) and each.strip()]
