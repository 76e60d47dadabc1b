"""Converts messages of chat formats (parts, tool calls, tool results) to text.

It reads parts as written by OpenAI (Chat Completions and Responses), Anthropic, Gemini, Bedrock, LangChain and the AI
SDK. The API and the importers share this module, so that both accept the same formats.
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import orjson

Json: TypeAlias = Mapping[str, Any]
Place: TypeAlias = tuple[str | int, ...]

# The stored role for each accepted spelling.
ROLES = {
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "ai": "assistant",
    "model": "assistant",
    "system": "system",
    "developer": "system",
    "tool": "tool",
    "function": "tool",
}
# Fields of chat formats other than role, name and content.
FIELDS: dict[str, type] = {
    "tool_calls": list,
    "tool_call_id": str,
    "function_call": dict,
    "refusal": str,
    "audio": dict,
    "annotations": list,
    "reasoning_content": str,
    "parts": list,
}
_KIND_NAMES: dict[type, str] = {dict: "an object", list: "an array", str: "a string"}
# Gemini and Bedrock name the kind of a part by its only field.
_KEYED = (
    *("functionCall", "function_call", "toolUse", "functionResponse", "function_response", "toolResult"),
    *("executableCode", "executable_code", "codeExecutionResult", "code_execution_result", "reasoningContent"),
    *("inlineData", "inline_data", "fileData", "file_data", "image", "document", "video", "audio", "json"),
)
# Kinds as `_plain` spells them: in lower case, without `-` and `_`.
_TEXTS = {"text", "inputtext", "outputtext", "summarytext"}
_THOUGHTS = {"thinking", "redactedthinking", "reasoning", "reasoningcontent"}
# ChatGPT exports refer to files that they do not contain, also next to their transcripts.
_POINTER = "assetpointer"
_CALLS = {"functioncall", "toolcall", "customtoolcall"}
_RESULTS = {"functioncalloutput", "customtoolcalloutput", "functionresponse"}
_CODE = {"executablecode", "codeexecutionresult"}
_MEDIA = ("image", "audio", "video", "file", "document")
_CALLED = ("function", "custom")
_NAMES = ("name", "toolName")
_ARGUMENTS = ("arguments", "args", "input", "parameters")
_OUTPUTS = ("content", "output", "result", "response", "text")
_TITLES = ("filename", "file_name", "title", "name", "displayName")
_TYPES = ("mimeType", "mime_type", "media_type", "mediaType")
_EMPTY_RESULT = "[tool result]"


class UnreadableError(ValueError):
    """Content that is not in any chat format. `place`: the path to it within the message."""

    def __init__(self, place: Place, reason: str) -> None:
        super().__init__(place, reason)
        self.place = place
        self.reason = reason

    def __str__(self) -> str:
        """Return path and reason on one line."""
        return f"{'.'.join(map(str, self.place))}: {self.reason}"


def is_text(message: Json) -> bool:
    """Return whether a message has a text as content and one of the service's own roles."""
    role = message.get("role")
    return isinstance(message.get("content"), str) and (not isinstance(role, str) or ROLES.get(role, role) == role)


def is_plain(message: Json) -> bool:
    """Return whether a message satisfies `is_text` and has no other chat fields."""
    return is_text(message) and not any(map(message.get, FIELDS))


def text_of(message: Json) -> str:
    """Return the searchable text of a message, "" if it is empty.

    Texts are joined by line breaks. A tool call becomes `name(arguments)`, a result its text, and other content a
    placeholder such as `[image]`. Reasoning of a model is omitted. Raises `UnreadableError`.
    """
    _check_fields(message)
    texts = [*_texts(message.get("content"), "content"), *_texts(message.get("parts"), "parts")]
    texts.append(message.get("refusal") or "")
    texts += [_call(each, ("tool_calls", place)) for place, each in enumerate(message.get("tool_calls") or ())]
    if message.get("function_call"):
        texts.append(_call(message["function_call"], ("function_call",)))
    if message.get("audio"):
        texts.append(_media("audio", message["audio"]))
    return _joined(texts) or _stand_in(message)


def _check_fields(message: Json) -> None:
    for name, kind in FIELDS.items():
        value = message.get(name)
        if value is not None and not isinstance(value, kind):
            raise UnreadableError((name,), f"must be {_KIND_NAMES[kind]}")
        for place, each in enumerate(value if isinstance(value, list) else ()):
            if not isinstance(each, dict | str):
                raise UnreadableError((name, place), "must be an object or a string")


def _texts(content: Any, field: str) -> list[str]:
    if content is None or isinstance(content, str):
        return [content or ""]
    if not isinstance(content, list):
        raise UnreadableError((field,), "must be a string or an array of parts")
    return [_part(each, (field, place)) for place, each in enumerate(content)]


def _stand_in(message: Json) -> str:
    """Return a placeholder for a message without text: an empty tool result, reasoning, or a missing file; else ""."""
    if message.get("tool_call_id"):
        return _EMPTY_RESULT
    parts = [each for field in ("content", "parts") if isinstance(message.get(field), list) for each in message[field]]
    kinds = [_plain(_kind(each) or "") for each in parts if isinstance(each, dict)]
    if any(kind in _THOUGHTS for kind in kinds) or message.get("reasoning_content"):
        return "[thinking]"
    return next((f"[{_label(kind, kind, {})}]" for kind in kinds if kind.endswith(_POINTER)), "")


def _part(part: Any, place: Place) -> str:
    if isinstance(part, str):
        return part
    kind = _kind(part) if isinstance(part, dict) else None
    if kind is None:
        raise UnreadableError(place, "must be a string, or an object with a type or a text")
    plain = _plain(kind)
    inner = part[kind] if isinstance(part.get(kind), dict) else part
    if plain in _TEXTS:
        return _text(part, place)
    if plain in _CALLS or plain.endswith("tooluse"):
        return _call(inner, place)
    return "" if plain in _THOUGHTS or plain.endswith(_POINTER) else _other_text(plain, kind, part, inner)


def _other_text(plain: str, kind: str, part: Json, inner: Json) -> str:
    """Return the text of any other part: a tool result, code, a file, or a part of unknown kind."""
    if plain in _RESULTS or plain.endswith("toolresult"):
        return _output(inner)
    if plain in _CODE:
        return str(inner.get("code") or inner.get("output") or "")
    if plain == "json" and kind in part:
        return _compact(part[kind])
    if isinstance(part.get("text"), str) or isinstance(part.get("refusal"), str):
        return str(part.get("text") or part.get("refusal") or "")
    return _file(_label(plain, kind, inner), part, inner)


def _kind(part: Json) -> str | None:
    kind = part.get("type")
    if isinstance(kind, str) and kind:
        return kind
    if isinstance(part.get("text"), str):
        return "thinking" if part.get("thought") is True else "text"
    return next((name for name in _KEYED if part.get(name) is not None), None)


def _plain(kind: str) -> str:
    return kind.lower().replace("_", "").replace("-", "")


def _text(part: Json, place: Place) -> str:
    text = part.get("text")
    # The Assistants API writes {"text": {"value": "..."}}.
    text = text.get("value") if isinstance(text, dict) else text
    if not isinstance(text, str):
        raise UnreadableError((*place, "text"), "must be a string")
    return text


def _call(call: Any, place: Place) -> str:
    if not isinstance(call, dict):
        raise UnreadableError(place, "must be an object")
    inner = next((call[name] for name in _CALLED if isinstance(call.get(name), dict)), call)
    name = next((inner[key] for key in _NAMES if isinstance(inner.get(key), str)), None) or call.get("type", "call")
    arguments = next((inner[key] for key in _ARGUMENTS if inner.get(key) is not None), "")
    return f"{name}({arguments if isinstance(arguments, str) else _compact(arguments)})"


def _output(result: Json) -> str:
    output = next((result[key] for key in _OUTPUTS if result.get(key) is not None), None)
    return _any_text(output).strip() or _EMPTY_RESULT


def _any_text(value: Any) -> str:
    """Return the text of a tool's result, which may have any form."""
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, list):
        return _joined(map(_any_text, value))
    if isinstance(value, dict) and _kind(value) is not None:
        try:
            return _part(value, ())
        except UnreadableError:
            return _compact(value)
    return _compact(value)


def _label(plain: str, kind: str, inner: Json) -> str:
    if plain not in {"inlinedata", "filedata"}:
        return next((each for each in _MEDIA if each in plain), kind)
    mime_type = next((inner[key] for key in _TYPES if isinstance(inner.get(key), str)), "")
    return next((each for each in _MEDIA if mime_type.startswith(each)), "file")


def _file(label: str, part: Json, inner: Json) -> str:
    """Return a file's title in brackets and its text content, or else its transcript or placeholder."""
    source = part.get("source")
    held = source if isinstance(source, dict) and source.get("type") in ("text", "content") else {}
    holders = [part, *(each for each in part.values() if isinstance(each, dict))]
    title = next((each[key] for each in holders for key in _TITLES if isinstance(each.get(key), str)), None)
    texts = [_any_text(held.get("data")), _any_text(held.get("content")), _any_text(part.get("content"))]
    return _joined([f"[{label}: {title}]" if title else "", *texts]) or _media(label, inner)


def _media(label: str, holder: Json) -> str:
    transcript = holder.get("transcript")
    return transcript if isinstance(transcript, str) and transcript.strip() else f"[{label}]"


def _joined(texts: Any) -> str:
    return "\n".join(text for text in texts if text.strip())


def _compact(value: Any) -> str:
    return orjson.dumps(value).decode()


def spoken_fields(message: Json) -> Sequence[str]:
    """Return the names of a message's fields that chat formats define."""
    return [name for name in message if name in {"role", "name", "content", *FIELDS}]
