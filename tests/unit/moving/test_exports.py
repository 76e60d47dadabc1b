"""What applications and memory layers export, recognised without asking and read as it was shown."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.moving_schemas import MovedMessage
from jobs.moving.formats import recognition
from jobs.moving.formats.turns import LeftOut
from jobs.moving.records import Record
from tests.unit.moving.test_formats import close_files, delivery, lines, read

__all__ = ["close_files"]

T0 = 1754300000.0
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


def node(name: str, parent: str | None, message: dict[str, Any] | None, *children: str) -> dict[str, Any]:
    held = (
        None
        if message is None
        else {"id": f"m-{name}", "create_time": T0 + int(name[1:]), "recipient": "all", **message}
    )
    return {"id": name, "parent": parent, "children": list(children), "message": held}


def said_by(role: str, *parts: Any, **more: Any) -> dict[str, Any]:
    kind = "text" if all(isinstance(each, str) for each in parts) else "multimodal_text"
    return {"author": {"role": role}, "content": {"content_type": kind, "parts": list(parts)}, **more}


def of_type(role: str, content_type: str, **fields: Any) -> dict[str, Any]:
    return {"author": {"role": role}, "content": {"content_type": content_type, **fields}}


PICTURE = {"content_type": "image_asset_pointer", "asset_pointer": "file-service://x", "width": 10}
SEARCH = said_by("assistant", "", recipient="web") | {"content": {"content_type": "code", "text": "search('ferry')"}}
CHATGPT: dict[str, Any] = {
    "title": "Faro",
    "create_time": T0,
    "conversation_id": "conv-faro",
    "current_node": "n8",
    "mapping": {
        each["id"]: each
        for each in (
            node("n0", None, None, "n1"),
            node("n1", "n0", said_by("system", "", metadata={"is_visually_hidden_from_conversation": True}), "n2"),
            node("n2", "n1", of_type("user", "user_editable_context", user_profile="x"), "n3"),
            node("n3", "n2", said_by("user", "My ferry leaves on 3 August."), "n4", "n9"),
            node("n9", "n3", said_by("assistant", "A draft that was thrown away.")),
            node("n4", "n3", of_type("assistant", "thoughts", thoughts=[{"content": "Hm."}]), "n5"),
            node("n5", "n4", SEARCH, "n6"),
            node("n6", "n5", of_type("tool", "execution_output", text="At nine."), "n7"),
            node("n7", "n6", said_by("assistant", "It leaves at nine.", metadata={"model_slug": "m-1"}), "n8"),
            node("n8", "n7", said_by("user", PICTURE, "This is my ticket.")),
        )
    },
}
SHOWN = [
    ("user", "My ferry leaves on 3 August.", "m-n3"),
    ("assistant", "web(search('ferry'))", "m-n5"),
    ("tool", "At nine.", "m-n6"),
    ("assistant", "It leaves at nine.", "m-n7"),
    ("user", "This is my ticket.", "m-n8"),
]
CLAUDE: dict[str, Any] = {
    "uuid": "c-1",
    "name": "Garden",
    "created_at": "2026-05-01T10:00:00Z",
    "account": {"uuid": "a"},
    "chat_messages": [
        {
            "uuid": "m1",
            "text": "I grow quinces.",
            "content": [],
            "sender": "human",
            "created_at": "2026-05-01T10:00:01Z",
        },
        {
            "uuid": "m2",
            "text": "",
            "content": [
                {"type": "thinking", "thinking": "Hm."},
                {"type": "tool_use", "name": "web_search", "input": {"query": "quince"}},
                {"type": "tool_result", "name": "web_search", "content": [{"type": "text", "text": "A fruit."}]},
                {"type": "text", "text": "Lovely quinces."},
            ],
            "sender": "assistant",
            "created_at": "2026-05-01T10:00:05Z",
        },
        {
            "uuid": "m3",
            "text": "See this.",
            "content": [{"type": "text", "text": "See this."}],
            "sender": "human",
            "attachments": [{"file_name": "plan.txt", "extracted_content": "Plant in March."}],
            "files": [{"file_name": "tree.png"}],
        },
    ],
}
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


def taken(tmp_path: Path, value: Any) -> list[MovedMessage]:
    messages, left_out = read(tmp_path, json.dumps(value), name="export.json")
    assert left_out == []
    return messages


def test_chatgpt_is_read_along_the_path_that_was_shown(tmp_path: Path) -> None:
    messages = taken(tmp_path, [CHATGPT])

    assert [(m.role.value, m.content, m.external_id) for m in messages] == SHOWN
    assert {m.conversation_id for m in messages} == {"conv-faro"}
    assert [m.created_at.timestamp() - T0 for m in messages] == [3, 5, 6, 7, 8]
    assert messages[3].metadata == {"title": "Faro", "model": "m-1"}
    assert messages[4].chat == {
        "role": "user",
        "content": [{"type": "image_asset_pointer", **PICTURE}, "This is my ticket."],
    }


@pytest.mark.parametrize("without", ["current_node", "children"])
def test_chatgpt_without_what_some_exports_lack(tmp_path: Path, without: str) -> None:
    nodes = {
        name: {key: value for key, value in each.items() if key != without} for name, each in CHATGPT["mapping"].items()
    }
    export = {key: value for key, value in CHATGPT.items() if key != without} | {"mapping": nodes}
    # The newest message of all, where the export does not say what was shown.
    nodes["n9"]["message"] = nodes["n9"]["message"] | {"create_time": T0 + 4.5}

    assert [m.content for m in taken(tmp_path, [export])] == [content for _, content, _ in SHOWN]


def test_chatgpt_that_goes_round_in_circles_ends(tmp_path: Path) -> None:
    nodes = {"n1": node("n1", "n2", said_by("user", "a")), "n2": node("n2", "n1", said_by("assistant", "b"))}

    assert [m.content for m in taken(tmp_path, [{"mapping": nodes, "current_node": "n1"}])] == ["b", "a"]


def test_chatgpt_pictures_and_sounds_alone(tmp_path: Path) -> None:
    heard = [{"content_type": "audio_transcription", "text": "Hello"}, {"content_type": "audio_asset_pointer"}]
    nodes = {
        "n1": node("n1", None, said_by("user", PICTURE)),
        "n2": node("n2", "n1", said_by("user", *heard)),
        "n3": node(
            "n3", "n2", of_type("tool", "tether_quote", title="Tides", url="https://tides.example", text="Low at six.")
        ),
    }

    assert [m.content for m in taken(tmp_path, [{"mapping": nodes, "current_node": "n3"}])] == [
        "[image]",
        "Hello",
        "Low at six.",
    ]


def test_claude(tmp_path: Path) -> None:
    messages = taken(tmp_path, [CLAUDE])

    assert [(m.role.value, m.content, m.external_id) for m in messages] == [
        ("user", "I grow quinces.", "m1"),
        ("assistant", 'web_search({"query":"quince"})\nA fruit.\nLovely quinces.', "m2"),
        ("user", "See this.\n[document: plan.txt]\nPlant in March.\n[file: tree.png]", "m3"),
    ]
    assert {(m.conversation_id, m.metadata["title"]) for m in messages} == {("c-1", "Garden")}
    assert messages[0].chat is None
    assert messages[1].chat == {"role": "assistant", "content": CLAUDE["chat_messages"][1]["content"]}


def test_claude_along_the_path_that_was_shown(tmp_path: Path) -> None:
    parents = {"m1": "root", "m2": "m1", "m3": "m1"}
    tree = [{**each, "parent_message_uuid": parents[each["uuid"]]} for each in CLAUDE["chat_messages"]]

    newest = taken(tmp_path, [{**CLAUDE, "chat_messages": tree}])
    shown = taken(tmp_path, [{**CLAUDE, "chat_messages": tree, "current_leaf_message_uuid": "m2"}])

    assert [m.external_id for m in newest] == ["m1", "m3"]
    assert [m.external_id for m in shown] == ["m1", "m2"]


def test_a_long_attachment_loses_its_text_and_not_the_message(tmp_path: Path) -> None:
    message = {**CLAUDE["chat_messages"][2], "attachments": [{"file_name": "a", "extracted_content": "x" * 150_000}]}

    messages, left_out = read(tmp_path, json.dumps([{**CLAUDE, "chat_messages": [message]}]))

    assert [m.content for m in messages] == ["See this."]
    assert [each.whole for each in left_out] == [False]
    assert messages[0].chat is not None


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
    assert delivery(tmp_path, json.dumps(value)).format == format
    assert delivery(tmp_path, lines(*value)).format == format
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
