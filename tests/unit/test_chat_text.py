"""The text of what chat formats send, and which messages need one to be made."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from deployments.schemas.chat import MAX_CHAT_BYTES, MAX_CHAT_DEPTH, ChatMessage, SentMessage, chat_after
from deployments.schemas.chat_text import FIELDS, ROLES, is_plain, text_of
from deployments.schemas.messages import NewMessage

SENT: TypeAdapter[NewMessage] = TypeAdapter(SentMessage)
AROUND = {"tenant_id": "acme", "conversation_id": "c1"}
CALL = {"id": "call_7", "type": "function", "function": {"name": "look_up", "arguments": '{"order":"K-118"}'}}
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
PART_KEYS = st.sampled_from(
    ["type", "text", "content", "name", "input", "source", "functionCall", "inlineData", "output"]
)
KINDS = st.sampled_from(["text", "image_url", "tool_use", "tool_result", "thinking", "document", "json", "refusal"])
PARTS = st.dictionaries(PART_KEYS, KINDS | JSON_VALUES, max_size=4) | JSON_VALUES


def nested(depth: int) -> Any:
    value: Any = []
    for _ in range(depth):
        value = {"in": value}
    return value


@pytest.mark.parametrize(
    ("part", "text"),
    [
        ({"type": "text", "text": "a"}, "a"),
        ({"type": "input_text", "text": "a"}, "a"),
        ({"type": "output_text", "text": "a", "annotations": []}, "a"),
        ({"type": "text", "text": {"value": "a", "annotations": []}}, "a"),
        ("a", "a"),
        ({"text": "a"}, "a"),
        ({"type": "refusal", "refusal": "I will not."}, "I will not."),
        ({"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}, "[image]"),
        ({"type": "input_image", "image_url": "https://img.example/b.jpg"}, "[image]"),
        ({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}, "[image]"),
        ({"inlineData": {"mimeType": "image/png", "data": "AAAA"}}, "[image]"),
        ({"file_data": {"mime_type": "application/pdf", "file_uri": "files/a"}}, "[file]"),
        ({"image": {"format": "png", "source": {"bytes": "AAAA"}}}, "[image]"),
        ({"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}, "[audio]"),
        ({"type": "file", "file": {"filename": "plan.pdf", "file_data": "AAAA"}}, "[file: plan.pdf]"),
        (
            {"type": "document", "source": {"type": "text", "data": "The terms."}, "title": "T"},
            "[document: T]\nThe terms.",
        ),
        (
            {"type": "document", "source": {"type": "content", "content": [{"type": "text", "text": "Inside."}]}},
            "Inside.",
        ),
        ({"type": "search_result", "title": "T", "content": [{"type": "text", "text": "x"}]}, "[search_result: T]\nx"),
        ({"type": "tool_use", "id": "t", "name": "look_up", "input": {"order": 1}}, 'look_up({"order":1})'),
        ({"type": "server_tool_use", "id": "t", "name": "web_search", "input": {"q": "x"}}, 'web_search({"q":"x"})'),
        ({"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}, "f({})"),
        ({"type": "tool-call", "toolCallId": "c", "toolName": "f", "args": {"a": 1}}, 'f({"a":1})'),
        ({"functionCall": {"name": "f", "args": {"a": 1}}}, 'f({"a":1})'),
        ({"toolUse": {"toolUseId": "t", "name": "f", "input": {"a": 1}}}, 'f({"a":1})'),
        ({"type": "tool_result", "tool_use_id": "t", "content": "Tuesday"}, "Tuesday"),
        ({"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": "Tuesday"}]}, "Tuesday"),
        ({"type": "tool_result", "tool_use_id": "t"}, "[tool result]"),
        ({"type": "function_call_output", "call_id": "c", "output": "Tuesday"}, "Tuesday"),
        ({"functionResponse": {"name": "f", "response": {"day": "Tuesday"}}}, '{"day":"Tuesday"}'),
        ({"toolResult": {"toolUseId": "t", "content": [{"json": {"day": 2}}, {"text": "x"}]}}, '{"day":2}\nx'),
        ({"executableCode": {"language": "PYTHON", "code": "print(1)"}}, "print(1)"),
        ({"type": "thinking", "thinking": "Hm.", "signature": "x"}, "[thinking]"),
        ({"text": "Hm.", "thought": True}, "[thinking]"),
        ({"type": "of_tomorrow", "data": 1}, "[of_tomorrow]"),
        ({"type": "of_tomorrow", "text": "a"}, "a"),
    ],
)
def test_the_text_of_a_part(part: Any, text: str) -> None:
    assert text_of({"role": "user", "content": [part]}) == text


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ({"content": None, "tool_calls": [CALL]}, 'look_up({"order":"K-118"})'),
        ({"content": "One moment.", "tool_calls": [CALL, CALL]}, "One moment." + '\nlook_up({"order":"K-118"})' * 2),
        ({"content": "", "tool_calls": [{"name": "f", "args": {"a": 1}, "type": "tool_call"}]}, 'f({"a":1})'),
        ({"tool_calls": [{"id": "c", "type": "custom", "custom": {"name": "sh", "input": "ls"}}]}, "sh(ls)"),
        ({"content": None, "function_call": {"name": "f", "arguments": "{}"}}, "f({})"),
        ({"content": "", "tool_call_id": "call_7"}, "[tool result]"),
        ({"content": None, "refusal": "No."}, "No."),
        ({"content": None, "audio": {"id": "a", "data": "AAAA", "transcript": "Hello"}}, "Hello"),
        ({"parts": [{"text": "a"}, {"functionCall": {"name": "f"}}]}, "a\nf()"),
        ({"content": [{"type": "thinking", "thinking": "Hm."}, {"type": "text", "text": "a"}]}, "a"),
        ({"content": [{"type": "text", "text": "Where is"}, {"type": "text", "text": "Ana?"}]}, "Where is\nAna?"),
        ({"content": None}, ""),
        ({"content": []}, ""),
    ],
)
def test_the_text_of_a_message(message: dict[str, Any], text: str) -> None:
    assert text_of({"role": "assistant", **message}) == text


@pytest.mark.parametrize("role", ROLES)
def test_each_role_is_stored_as_one_of_four_and_kept_as_it_was_sent(role: str) -> None:
    new = SENT.validate_python({**AROUND, "role": role, "content": "a"})

    assert new.role.value == ROLES[role]
    assert (new.chat["role"] if isinstance(new, ChatMessage) else new.role.value) == role


def test_a_plain_text_keeps_nothing_beside_it() -> None:
    unused = dict.fromkeys(FIELDS) | {"tool_calls": [], "annotations": []}

    assert type(SENT.validate_python({**AROUND, "role": "user", "content": "a"})) is NewMessage
    assert type(SENT.validate_python({**AROUND, "role": "assistant", "content": "a", **unused})) is NewMessage


@pytest.mark.parametrize(
    ("fields", "place", "reason"),
    [
        ({}, ("content",), "Field required"),
        ({"content": None}, ("content",), "Input should be a valid string"),
        ({"content": 5}, ("content",), "must be a string or an array of parts"),
        ({"content": {"type": "text", "text": "a"}}, ("content",), "must be a string or an array of parts"),
        ({"content": []}, ("content",), "must hold a text, a part that is not empty, or a call of a tool"),
        ({"content": [{"type": "text", "text": " "}]}, ("content",), "must hold a text"),
        ({"content": [{}]}, ("content", 0), "must be a string, or an object with a type or a text"),
        ({"content": ["a", 5]}, ("content", 1), "must be a string, or an object with a type or a text"),
        ({"content": [{"type": "text", "text": 5}]}, ("content", 0, "text"), "must be a string"),
        ({"content": "a", "tool_calls": "x"}, ("tool_calls",), "must be an array"),
        ({"content": "a", "tool_calls": ["x"]}, ("tool_calls", 0), "must be an object"),
        ({"content": "a", "annotations": [5]}, ("annotations", 0), "must be an object or a string"),
        ({"content": "a", "tool_call_id": 5}, ("tool_call_id",), "must be a string"),
        ({"content": "a", "function_call": []}, ("function_call",), "must be an object"),
        ({"content": ["a"], "tool_call": {}}, ("tool_call",), "Extra inputs are not permitted"),
        ({"content": ["a"], "chat": {}}, ("chat",), "Extra inputs are not permitted"),
        ({"content": ["a" * 60_000] * 2}, ("content",), "String should have at most 100000 characters"),
        ({"content": ["a", {"type": "x", "y": "\0"}]}, (), "must not hold the character NUL"),
        ({"content": ["a", {"type": "x", "\0": 1}]}, (), "must not hold the character NUL"),
        ({"content": ["a", {"type": "x", "y": "\ud800"}]}, (), "must hold strings of valid Unicode"),
        ({"content": ["a", {"type": "x", "y": float("nan")}]}, (), "must not hold NaN"),
        ({"content": ["a", {"type": "x", "y": 2**70}]}, (), "integers of 64 bits"),
        ({"content": ["a", {"type": "x", "y": "x" * MAX_CHAT_BYTES}]}, (), "must not be larger than 262144 bytes"),
        ({"content": ["a", nested(MAX_CHAT_DEPTH)]}, (), "must not be nested deeper than 32 levels"),
    ],
)
def test_what_cannot_be_kept_is_refused_with_its_place(fields: Any, place: tuple[str | int, ...], reason: str) -> None:
    with pytest.raises(ValidationError) as refused:
        SENT.validate_python({**AROUND, "role": "user", **fields})

    (error,) = refused.value.errors()
    assert error["loc"] == place
    assert reason in error["msg"]


@pytest.mark.parametrize("role", [None, 5, [], {}, "narrator"])
def test_a_role_that_nobody_has_is_refused(role: Any) -> None:
    with pytest.raises(ValidationError, match="role"):
        SENT.validate_python({**AROUND, "role": role, "content": ["a"]})


@given(st.fixed_dictionaries({"content": JSON_VALUES | st.lists(PARTS, max_size=3)}, optional={"parts": JSON_VALUES}))
def test_whatever_is_sent_is_kept_whole_or_refused(fields: dict[str, Any]) -> None:
    try:
        new = SENT.validate_python({**AROUND, "role": "user", **fields})
    except ValidationError:
        return

    assert new.content.strip()
    if isinstance(new, ChatMessage):
        assert new.chat == {"role": "user", **fields}
        assert json.loads(json.dumps(new.chat)) == new.chat
        assert not is_plain(new.chat)


@pytest.mark.parametrize(
    ("chat", "changed", "parts", "after"),
    [
        (None, {"content": "b"}, None, None),
        (None, {"content": "b"}, ["b"], {"role": "user", "content": ["b"]}),
        ({"role": "user", "content": ["a"]}, {"content": "b"}, None, None),
        ({"role": "developer", "content": "a"}, {"content": "b"}, None, {"role": "developer", "content": "b"}),
        (
            {"role": "tool", "tool_call_id": "c", "content": "a"},
            {"content": "b"},
            ["b"],
            {"role": "tool", "tool_call_id": "c", "content": ["b"]},
        ),
        ({"role": "model", "parts": [{"text": "a"}]}, {"content": "b"}, None, {"role": "model", "content": "b"}),
        (
            {"role": "developer", "content": "a"},
            {"name": "Ada"},
            None,
            {"role": "developer", "content": "a", "name": "Ada"},
        ),
        ({"role": "user", "content": ["a"]}, {"metadata": {}}, None, {"role": "user", "content": ["a"]}),
    ],
)
def test_what_is_kept_after_a_change(chat: Any, changed: Any, parts: Any, after: Any) -> None:
    assert chat_after({"role": "user", "chat": chat}, changed, parts) == after
