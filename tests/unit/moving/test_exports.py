"""What frameworks and memory layers export; and each export recognised without asking, and read again as the same."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.transfer.formats import recognition
from jobs.transfer.formats.turns import LeftOut
from jobs.transfer.records import Record
from tests.unit.moving.test_formats import close_files, lines, read, source
from tests.unit.moving.test_shown_paths import CHATGPT, CLAUDE, taken

__all__ = ["close_files"]

WORDS = st.sampled_from(["user", "text", "m1", "n1", "human", "HumanMessage", "function_call", "all", "lena.facts", ""])
KEYS = st.sampled_from(
    [
        *(
            "mapping",
            "current_node",
            "message",
            "parent",
            "author",
            "role",
            "content",
            "content_type",
            "parts",
            "metadata",
        ),
        *(
            "recipient",
            "chat_messages",
            "uuid",
            "sender",
            "attachments",
            "files",
            "parent_message_uuid",
            "lc",
            "kwargs",
            "id",
        ),
        *(
            "namespace",
            "prefix",
            "key",
            "value",
            "memory",
            "results",
            "role_type",
            "sessions",
            "messages",
            "type",
            "data",
        ),
        *("n1", "m1", "text", "tool_calls", "title", "created_at"),
    ]
)
RECORDS = st.recursive(
    st.none() | st.booleans() | st.integers() | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=12,
)
DUMPED: list[dict[str, Any]] = [
    {
        "lc": 1,
        "type": "constructor",
        "id": ["langchain", "schema", "messages", "HumanMessage"],
        "kwargs": {"content": "I row at dawn.", "type": "human", "name": "Lena"},
    },
    {
        "lc": 1,
        "type": "constructor",
        "id": ["langchain", "schema", "messages", "AIMessage"],
        "kwargs": {
            "content": "",
            "tool_calls": [{"name": "tide", "args": {"at": "dawn"}, "id": "t1", "type": "tool_call"}],
        },
    },
    {
        "lc": 1,
        "type": "constructor",
        "id": ["langchain", "schema", "messages", "ToolMessage"],
        "kwargs": {"content": "low", "tool_call_id": "t1", "status": "success"},
    },
]
ITEMS: list[dict[str, Any]] = [
    {
        "namespace": ["lena", "memories"],
        "key": "k1",
        "value": {"text": "keeps bees"},
        "created_at": "2026-04-01T10:00:00+00:00",
    },
    {
        "namespace": ["lena"],
        "key": "a/b",
        "value": {"food": "figs", "likes": True, "at": {"days": [1, 2]}},
        "createdAt": "2026-04-02T10:00:00Z",
    },
    {"prefix": "lena.facts", "key": "k3", "value": {"kind": "Memory", "content": {"content": "rows at dawn"}}},
    {"namespace": ["lena"], "key": "empty", "value": {}},
]
ZEP: list[dict[str, Any]] = [
    {
        "uuid_": "z-1",
        "role": "Lena",
        "role_type": "user",
        "content": "I keep bees.",
        "created_at": "2026-04-01T10:00:00Z",
        "metadata": {"mood": "good"},
        "token_count": 0,
    },
    {"uuid": "z-2", "role_type": "assistant", "content": "How many hives?", "created_at": "2026-04-01T10:00:05Z"},
    {"uuid": "z-3", "role": "narrator", "role_type": "norole", "content": "It rains."},
]


def test_langchains_dumpd(tmp_path: Path) -> None:
    messages = taken(tmp_path, DUMPED)

    assert [(m.role.value, m.name, m.content) for m in messages] == [
        ("user", "Lena", "I row at dawn."),
        ("assistant", None, 'tide({"at":"dawn"})'),
        ("tool", None, "low"),
    ]
    assert messages[0].chat is None
    assert messages[2].chat == {"role": "tool", "content": "low", "tool_call_id": "t1"}
    assert messages[2].metadata == {"status": "success"}


@pytest.mark.parametrize("shape", ["list", "answer", "lines"])
def test_langgraph_items(tmp_path: Path, shape: str) -> None:
    texts = {"list": json.dumps(ITEMS), "answer": json.dumps({"items": ITEMS}), "lines": lines(*ITEMS)}

    messages, left_out = read(tmp_path, texts[shape])

    assert [(m.conversation_id, m.external_id, m.content) for m in messages] == [
        ("lena/memories", "lena/memories/k1", "keeps bees"),
        ("lena", "lena/a%2Fb", "food: figs\nlikes: true\nat.days: 1, 2"),
        ("lena/facts", "lena/facts/k3", "rows at dawn"),
    ]
    assert [m.metadata for m in messages] == [each["value"] for each in ITEMS[:3]]
    assert [m.created_at.isoformat()[:10] for m in messages[:2]] == ["2026-04-01", "2026-04-02"]
    assert [each.reason for each in left_out] == ["has no text"]


@pytest.mark.parametrize("shape", ["list", "answer", "sessions", "lines"])
def test_zep(tmp_path: Path, shape: str) -> None:
    session = {"session_id": "s1", "messages": ZEP}
    texts = {
        "list": json.dumps(ZEP),
        "answer": json.dumps(session),
        "sessions": json.dumps({"sessions": [{"session_id": "s1", "memory": {"messages": ZEP}}]}),
        "lines": lines(*({**each, "session_id": "s1"} for each in ZEP)),
    }

    messages, left_out = read(tmp_path, texts[shape])

    assert left_out == []
    assert [(m.role.value, m.name, m.content, m.external_id) for m in messages] == [
        ("user", "Lena", "I keep bees.", "z-1"),
        ("assistant", None, "How many hives?", "z-2"),
        ("user", "narrator", "It rains.", "z-3"),
    ]
    assert {m.conversation_id for m in messages} == {"log" if shape == "list" else "s1"}
    assert messages[0].metadata == {"mood": "good", "token_count": 0}


def test_gemini_and_the_items_of_responses(tmp_path: Path) -> None:
    gemini = {
        "contents": [
            {"role": "user", "parts": [{"text": "Is it sunny?"}]},
            {"role": "model", "parts": [{"text": "Yes."}]},
        ]
    }
    responses = {
        "output": [
            {"type": "function_call", "call_id": "c", "name": "sun", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c", "output": "shines"},
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Sunny."}]},
        ]
    }

    messages, left_out = read(tmp_path, lines(gemini, responses))

    assert left_out == []
    assert [(m.role.value, m.content) for m in messages] == [
        ("user", "Is it sunny?"),
        ("assistant", "Yes."),
        ("assistant", "sun({})"),
        ("tool", "shines"),
        ("assistant", "Sunny."),
    ]


@pytest.mark.parametrize("name", ["results", "memories", "items"])
def test_mem0_under_other_names(tmp_path: Path, name: str) -> None:
    memory = {
        "id": "m-1",
        "memory": "Prefers window seats",
        "created_at": "2026-04-01T10:00:00-07:00",
        "user_id": "lena",
    }

    (message,) = taken(tmp_path, {name: [memory], "relations": []})

    assert (message.content, message.conversation_id, message.external_id) == ("Prefers window seats", "lena", "m-1")


@pytest.mark.parametrize(
    ("value", "format"),
    [([CHATGPT], "chatgpt"), ([CLAUDE], "claude"), (DUMPED, "langchain"), (ITEMS, "langgraph"), (ZEP, "zep")],
    ids=["chatgpt", "claude", "dumpd", "langgraph", "zep"],
)
def test_exports_are_recognised_and_read_again_as_the_same(tmp_path: Path, value: Any, format: str) -> None:  # noqa: A002
    assert source(tmp_path, json.dumps(value)).format == format
    assert source(tmp_path, lines(*value)).format == format
    once, again = (read(tmp_path, json.dumps(value), format=format)[0] for _ in range(2))

    assert [m.id for m in once] == [m.id for m in again]
    assert len({m.id for m in once}) == len(once)


@pytest.mark.parametrize(
    ("value", "format", "reasons"),
    [
        ([CHATGPT, 5], "chatgpt", [LeftOut("line 1, conversation 2", "is no conversation")]),
        ([CHATGPT | {"mapping": {"n1": 5}}], "chatgpt", []),
        ([CLAUDE | {"chat_messages": [5]}], "claude", [LeftOut("line 1, conversation 1, message 1", "is no message")]),
        (
            [CLAUDE | {"chat_messages": [{"sender": "x", "text": "a"}]}],
            "claude",
            [LeftOut("line 1, conversation 1, message 1", "nobody has the role 'x'")],
        ),
        ([5], "langgraph", [LeftOut("line 1, message 1", "is no item")]),
        ([5], "zep", [LeftOut("line 1", "holds no messages")]),
        ({"sessions": [{"messages": [5]}]}, "zep", [LeftOut("line 1, message 1", "is no message")]),
        (5, "chatgpt", [LeftOut("line 1", "holds no conversations")]),
        (5, "claude", [LeftOut("line 1", "holds no conversations")]),
        (5, "langgraph", [LeftOut("line 1", "holds no items")]),
    ],
)
def test_what_is_of_no_export_is_told(tmp_path: Path, value: Any, format: str, reasons: list[LeftOut]) -> None:  # noqa: A002
    _, left_out = read(tmp_path, json.dumps(value), format=format)

    assert left_out == reasons


@given(RECORDS, st.sampled_from(sorted(recognition.FOREIGN)))
def test_whatever_a_file_holds_is_read_or_told(value: Any, format: str) -> None:  # noqa: A002
    recognition.FOREIGN[format].fits(value)
    for each in recognition.turns(format, iter([Record(1, value)]), "export"):
        assert each.reason if isinstance(each, LeftOut) else each.content.strip()
