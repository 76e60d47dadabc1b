"""Accepts messages and changes in chat formats: converts them to text, and keeps the original next to it."""

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ValidationError,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, InitErrorDetails, PydanticCustomError, core_schema

from deployments.schemas.chat_text import (
    FIELDS,
    ROLES,
    Json,
    Place,
    UnreadableError,
    is_plain,
    is_text,
    spoken_fields,
    text_of,
)
from deployments.schemas.messages import MAX_CONTENT_CHARACTERS, MessageChange, NewMessage
from deployments.schemas.metadata import sound_object
from deployments.schemas.name_characters import NOT_BLANK

MAX_CHAT_BYTES = 262_144
MAX_CHAT_DEPTH = 32

_NO_TEXT = "must hold a text, a part that is not empty, or a call of a tool"
_PART = {"anyOf": [{"type": "string"}, {"type": "object"}]}
_CALLS = {"anyOf": [{"type": "array", "items": {"type": "object"}}, {"type": "null"}]}
_FIELD_SCHEMAS: dict[type, JsonSchemaValue] = {
    str: {"anyOf": [{"type": "string"}, {"type": "null"}]},
    dict: {"anyOf": [{"type": "object"}, {"type": "null"}]},
    list: {"anyOf": [{"type": "array", "items": _PART}, {"type": "null"}]},
}
_CONTENT_TEXT = (
    "A text, or parts as OpenAI, Anthropic or Gemini write them. Null or left out with `tool_calls` or `parts`."
)
_CHANGED_TEXT = "A text, or parts. `chat`, where there is one, keeps its other fields."
_ROLE_TEXT = (
    "`human` is stored as `user`, `ai` and `model` as `assistant`, `developer` as `system`, `function` as `tool`; "
    "`chat` of the answer keeps the role that was sent."
)


def sound_chat(value: Any) -> Any:
    """Return a chat message unchanged. Raises `ValueError` if it cannot be stored."""
    try:
        return sound_object(value, MAX_CHAT_BYTES, MAX_CHAT_DEPTH)
    except ValueError as error:
        raise ValueError(f"what the chat format sent {error}") from None


Chat = Annotated[dict[str, Any], AfterValidator(sound_chat)]


class ChatMessage(NewMessage):
    """A message to store, converted from a chat format. `chat`: the original."""

    chat: Chat


class ChatChange(MessageChange):
    """A change with content converted from parts. `parts`: the original."""

    parts: list[Any]


class _ChatForm:
    """Makes a model accept chat formats. Plain texts are validated as usual."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_wrap_validator_function(self.validate, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        reference = handler(schema)
        model = handler.resolve_ref_schema(reference)
        self.describe(model)
        return reference

    def validate(self, value: Any, handler: Callable[[Any], Any]) -> Any:
        raise NotImplementedError

    def describe(self, model: JsonSchemaValue) -> None:
        raise NotImplementedError


class MessageForm(_ChatForm):
    """Accepts a new message in a chat format."""

    def validate(self, value: Any, handler: Callable[[Any], Any]) -> Any:
        if not isinstance(value, dict) or (value.keys().isdisjoint(FIELDS) and is_text(value)):
            return handler(value)
        chat = {name: value[name] for name in spoken_fields(value)}
        content = _text(chat)
        rest = {name: each for name, each in value.items() if name not in FIELDS}
        role = value.get("role")
        if isinstance(role, str):
            rest["role"] = ROLES.get(role, role)
        # Without any content, the usual validation rejects the message.
        if content or isinstance(value.get("content"), list):
            rest["content"] = content
        message = handler(rest)
        if is_plain(value):
            return message
        fields = {name: getattr(message, name) for name in type(message).model_fields}
        return ChatMessage.model_construct(_fields_set={*message.model_fields_set, "chat"}, **fields, chat=chat)

    def describe(self, model: JsonSchemaValue) -> None:
        properties = model["properties"]
        properties["role"] = {"type": "string", "enum": list(ROLES), "description": _ROLE_TEXT}
        properties["content"] = _content_schema(_CONTENT_TEXT, {"type": "null"})
        properties |= {name: _FIELD_SCHEMAS[kind] for name, kind in FIELDS.items()} | {"tool_calls": _CALLS}
        model["required"] = [name for name in model["required"] if name != "content"]


class _ChangeForm(_ChatForm):
    def validate(self, value: Any, handler: Callable[[Any], Any]) -> Any:
        parts = value.get("content") if isinstance(value, dict) else None
        if not isinstance(parts, list):
            return handler(value)
        change = handler({**value, "content": _text({"content": parts})})
        fields = {name: getattr(change, name) for name in change.model_fields_set}
        return ChatChange.model_construct(_fields_set={*change.model_fields_set, "parts"}, **fields, parts=parts)

    def describe(self, model: JsonSchemaValue) -> None:
        properties = model["properties"]
        properties["content"] = _content_schema(_CHANGED_TEXT)


# Hot routes validate the plain model first, and use these only if that fails.
SentMessage = Annotated[NewMessage, MessageForm()]
SentChange = Annotated[MessageChange, _ChangeForm()]


def chat_after(before: Json, change: Json, parts: list[Any] | None) -> dict[str, Any] | None:
    """Return the `chat` of a message after a change of its content or name, or None for a plain text.

    `before`: the stored role and chat. `change`: the changed fields. `parts`: the new content as sent, None if it was a
    text.
    """
    chat: dict[str, Any] | None = before["chat"]
    if chat is None and parts is None:
        return None
    after = dict(chat or {"role": before["role"]})
    if "content" in change:
        # The new content replaces Gemini's parts.
        after.pop("parts", None)
        after["content"] = change["content"] if parts is None else parts
    if "name" in change:
        after["name"] = change["name"]
    return None if is_plain(after) else after


def _text(chat: dict[str, Any]) -> str:
    try:
        text = text_of(sound_chat(chat))
    except UnreadableError as error:
        raise _invalid(error.place, error.reason) from None
    except ValueError as error:
        raise _invalid((), f"{error}") from None
    if isinstance(chat.get("content"), list) and not text.strip():
        raise _invalid(("content",), _NO_TEXT)
    return text


def _invalid(place: Place, reason: str) -> ValidationError:
    error = PydanticCustomError("value_error", "{reason}", {"reason": reason})
    return ValidationError.from_exception_data("NewMessage", [InitErrorDetails(type=error, loc=place, input=None)])


def _content_schema(description: str, *others: JsonSchemaValue) -> JsonSchemaValue:
    plain = {"type": "string", "minLength": 1, "maxLength": MAX_CONTENT_CHARACTERS, **NOT_BLANK}
    parts = {"type": "array", "items": _PART, "minItems": 1}
    return {"anyOf": [plain, parts, *others], "title": "Content", "description": description}
