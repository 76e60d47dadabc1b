"""ChatGPT's and Claude's exports, read along the path that was shown."""

import json
from pathlib import Path
from typing import Any

import pytest

from deployments.schemas.transfer import MovedMessage
from tests.unit.moving.test_formats import close_files, read

__all__ = ["close_files"]

T0 = 1754300000.0


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
