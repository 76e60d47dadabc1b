"""What others wrote, as messages of ours; and what cannot be taken, with its place and reason."""

import gzip
import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from deployments.schemas.transfer import MovedMessage, VectorSpace
from jobs.transfer.errors import MovingInputError
from jobs.transfer.formats.turns import LeftOut
from jobs.transfer.importing import stem_of
from jobs.transfer.records import RecordFile
from jobs.transfer.source import ImportedMessage, ImportOptions, ImportSource, read_source

SPACE = VectorSpace(provider="local", model="wordllama/l2_supercat", dimensions=256)
# The file's own time: 2024-03-01.
FILE_TIME = 1709251200.0

CHAT = {
    "messages": [
        {"role": "system", "content": "You are kind."},
        {
            "role": "user",
            "content": [{"type": "text", "text": "Where is"}, {"type": "text", "text": "Ana?"}],
            "name": "Per",
        },
        {"role": "assistant", "content": "In Lisbon.", "tool_calls": [{"id": "t1", "name": "look_up"}]},
        {"role": "tool", "content": "sunny", "tool_call_id": "t1"},
        {"role": "developer", "content": "Be brief."},
    ]
}
HISTORY = [
    {
        "type": "human",
        "data": {
            "content": "Hi",
            "additional_kwargs": {},
            "response_metadata": {},
            "type": "human",
            "name": "Per",
            "id": None,
            "example": False,
        },
    },
    {
        "type": "ai",
        "data": {
            "content": [{"type": "text", "text": "Hello"}],
            "additional_kwargs": {},
            "response_metadata": {"model_name": "m", "created_at": "2023-05-07T10:00:00Z"},
            "type": "ai",
            "name": None,
            "id": "run-1",
            "tool_calls": [],
            "invalid_tool_calls": [],
            "usage_metadata": {"input_tokens": 1},
        },
    },
    {"type": "tool", "data": {"content": "42", "type": "tool", "tool_call_id": "t1", "status": "success"}},
    {"type": "AIMessageChunk", "data": {"content": "So", "type": "AIMessageChunk"}},
    {"type": "chat", "data": {"content": "Well", "role": "assistant", "type": "chat"}},
]
MEMORIES: dict[str, Any] = {
    "results": [
        {
            "id": "7a1c2f0e-6d6e-4f57-9d0f-0d2c9f6f8a10",
            "memory": "Likes pizza",
            "hash": "62bc074f56d1f909f1b4c2b639f56f6a",
            "metadata": {"category": "food"},
            "score": None,
            "created_at": "2023-02-25T23:57:00.108347-07:00",
            "updated_at": None,
            "user_id": "alice",
            "run_id": "trip",
            "actor_id": "Alice",
            "role": "user",
        },
        {"id": "b", "memory": "Plans the trip", "user_id": "alice", "categories": ["travel"], "created_at": None},
    ]
}


LARGE = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{'A' * 300_000}"}}
OPENED: list[RecordFile] = []


@pytest.fixture(autouse=True)
def close_files() -> Iterator[None]:
    """What is recognised is read later, so each test's files are closed at its end."""
    yield
    while OPENED:
        OPENED.pop().__exit__()


def opened(path: Path) -> RecordFile:
    OPENED.append(RecordFile(path))
    return OPENED[-1]


def source(tmp_path: Path, text: str | bytes, name: str = "log.jsonl", **options: Any) -> ImportSource:
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    os.utime(path, (FILE_TIME, FILE_TIME))
    return read_source(opened(path), stem_of(path), ImportOptions(SPACE, **{"tenant_id": "acme", **options}))


def read(tmp_path: Path, text: str | bytes, **options: Any) -> tuple[list[MovedMessage], list[LeftOut]]:
    found = list(source(tmp_path, text, **options).messages)
    messages = [each.message for each in found if isinstance(each, ImportedMessage)]
    return messages, [each for each in found if isinstance(each, LeftOut)]


def lines(*values: Any) -> str:
    return "".join(f"{json.dumps(value)}\n" for value in values)


def test_openai_chats(tmp_path: Path) -> None:
    messages, left_out = read(tmp_path, lines(CHAT, CHAT | {"conversation_id": "named"}))

    assert left_out == []
    assert [m.conversation_id for m in messages] == ["log-1"] * 5 + ["named"] * 5
    assert [(m.role.value, m.name, m.content) for m in messages[:5]] == [
        ("system", None, "You are kind."),
        ("user", "Per", "Where is\nAna?"),
        ("assistant", None, "In Lisbon.\nlook_up()"),
        ("tool", None, "sunny"),
        ("system", None, "Be brief."),
    ]
    assert [m.chat for m in messages[:5]] == [None, *CHAT["messages"][1:]]
    assert [m.metadata for m in messages] == [{}] * 10
    assert {m.tenant_id for m in messages} == {"acme"}


def test_a_message_in_each_line(tmp_path: Path) -> None:
    messages, _ = read(
        tmp_path, lines({"role": "user", "content": "a"}, {"role": "user", "content": "b", "conversation_id": 7})
    )

    assert [(m.conversation_id, m.content) for m in messages] == [("log", "a"), ("7", "b")]


def test_langchain_histories(tmp_path: Path) -> None:
    messages, left_out = read(tmp_path, json.dumps(HISTORY, indent=2), name="session 1.json")

    assert left_out == []
    assert {m.conversation_id for m in messages} == {"session 1"}
    assert [(m.role.value, m.name, m.content) for m in messages] == [
        ("user", "Per", "Hi"),
        ("assistant", None, "Hello"),
        ("tool", None, "42"),
        ("assistant", None, "So"),
        ("assistant", None, "Well"),
    ]
    assert messages[1].metadata["id"] == "run-1"
    assert messages[1].created_at == datetime(2023, 5, 7, 10, tzinfo=UTC)
    assert messages[0].metadata == {}
    assert messages[2].metadata == {"status": "success"}
    assert messages[2].chat == {"role": "tool", "content": "42", "tool_call_id": "t1"}


@pytest.mark.parametrize("wrapped", [True, False])
def test_langchain_histories_in_lines(tmp_path: Path, wrapped: bool) -> None:
    text = lines({"session_id": "s1", "messages": HISTORY}) if wrapped else lines(*HISTORY)

    messages, left_out = read(tmp_path, text)

    assert (len(messages), left_out) == (5, [])
    assert {m.conversation_id for m in messages} == {"s1" if wrapped else "log"}


@pytest.mark.parametrize("shape", ["answer", "list", "lines"])
def test_mem0_memories(tmp_path: Path, shape: str) -> None:
    texts = {
        "answer": json.dumps(MEMORIES),
        "list": json.dumps(MEMORIES["results"], indent=1),
        "lines": lines(*MEMORIES["results"]),
    }

    messages, left_out = read(tmp_path, texts[shape])

    assert left_out == []
    first, second = messages
    assert (first.content, first.role.value, first.name, first.conversation_id) == (
        "Likes pizza",
        "user",
        "Alice",
        "trip",
    )
    assert first.created_at == datetime(2023, 2, 26, 6, 57, 0, 108347, tzinfo=UTC)
    assert first.metadata == {"category": "food", "mem0_id": MEMORIES["results"][0]["id"], "user_id": "alice"}
    assert (second.conversation_id, second.metadata["categories"]) == ("alice", ["travel"])


@pytest.mark.parametrize(
    ("value", "format"),
    [(CHAT, "openai"), (HISTORY, "langchain"), (MEMORIES, "mem0")],
    ids=["openai", "langchain", "mem0"],
)
@pytest.mark.parametrize("zipped", [True, False])
def test_formats_are_recognised_and_can_be_named(tmp_path: Path, value: Any, format: str, zipped: bool) -> None:  # noqa: A002
    text = lines(value).encode()
    text = gzip.compress(text) if zipped else text

    assert source(tmp_path, text).format == format
    assert source(tmp_path, text, format=format).format == format


@pytest.mark.parametrize(
    ("message", "reason", "whole"),
    [
        ({"role": "user", "content": None}, "has no text", True),
        ({"role": "user", "content": []}, "has no text", True),
        (
            {"role": "user", "content": [5]},
            "has no text: content.0: must be a string, or an object with a type or a text",
            True,
        ),
        (
            {"role": "user", "content": [LARGE]},
            "has no text: what the chat format sent must not be larger than 262144 bytes",
            True,
        ),
        ({"role": "narrator", "content": "x"}, "nobody has the role 'narrator'", True),
        ({"role": "user", "content": "x" * 100_001}, "content: String should have at most 100000 characters", True),
        ({"role": "user", "content": "x\0"}, "content: must not hold the character NUL", True),
        ({"role": "user", "content": "x", "name": "n" * 256}, "name: String should have at most 255 characters", True),
        ({"role": "user", "content": "x", "more": "x" * 20_000}, "metadata: must not be larger than 16384 bytes", True),
        *(
            (
                {"role": "user", "content": "x", "created_at": time},
                f"was taken without a time: its time {said} is none",
                False,
            )
            for time, said in (("yesterday", "'yesterday'"), (32503680000, "'32503680000'"), (1e300, "'1e+300'"))
        ),
        ("hello", "is no message", True),
        *(
            ({"role": "user", "content": ["x", part]}, f"was taken without what is no text: {said}", False)
            for part, said in (
                (LARGE, "what the chat format sent must not be larger than 262144 bytes"),
                ({"type": "of_tomorrow", "x": "\0"}, "what the chat format sent must not hold the character NUL"),
                ({"type": "tool_result", "content": "y" * 100_000}, "its text would have more than 100,000 characters"),
                (5, "content.1: must be a string, or an object with a type or a text"),
            )
        ),
    ],
)
def test_what_cannot_be_taken_is_told_with_its_place(tmp_path: Path, message: Any, reason: str, whole: bool) -> None:
    good = {"role": "user", "content": "good"}

    messages, left_out = read(tmp_path, lines(CHAT, {"messages": [good, message, good]}))

    assert left_out == [LeftOut("line 2, message 2", reason, whole)]
    assert [m.content for m in messages[5:]] == ["good", "good"] if whole else ["good", "x", "good"]


def test_lines_that_are_nothing_are_told_too(tmp_path: Path) -> None:
    text = "{oops\n" + lines(CHAT) + "\n" + "[1\n" + lines({"messages": []}, {"other": 1})

    messages, left_out = read(tmp_path, text)

    assert len(messages) == 5
    assert [(each.place, each.reason.partition(":")[0]) for each in left_out] == [
        ("line 1", "is no JSON"),
        ("line 4", "is no JSON"),
        ("line 5", "holds no messages"),
        ("line 6", "holds no messages"),
    ]


class TestTimes:
    """A source's own times stay; what has none keeps its place."""

    def times(self, tmp_path: Path, *records: Any) -> list[datetime]:
        return [m.created_at for m in read(tmp_path, lines(*records))[0]]

    def test_without_any_time_the_files_own_is_taken_and_the_order_kept(self, tmp_path: Path) -> None:
        times = self.times(tmp_path, CHAT, CHAT)

        assert times == sorted(set(times))
        assert 0 < times[-1].timestamp() - FILE_TIME < 1

    @pytest.mark.parametrize(
        "time", [1683453600, 1683453600000, 1683453600.0, "2023-05-07T10:00:00Z", "2023-05-07T10:00"]
    )
    def test_times_are_taken_however_they_are_written(self, tmp_path: Path, time: Any) -> None:
        (said_at,) = self.times(tmp_path, {"role": "user", "content": "x", "timestamp": time})

        assert said_at == datetime(2023, 5, 7, 10, tzinfo=UTC)

    def test_what_has_none_follows_the_turn_before_it(self, tmp_path: Path) -> None:
        first, second, *rest = self.times(tmp_path, CHAT | {"created_at": 1683453600}, CHAT)

        assert first == datetime(2023, 5, 7, 10, tzinfo=UTC)
        assert (second - first).total_seconds() == 1e-6
        assert all(time.timestamp() >= FILE_TIME for time in rest[3:])

    def test_equal_times_keep_their_order_by_id(self, tmp_path: Path) -> None:
        turns = [{"role": "user", "content": str(n), "timestamp": 1683453600} for n in range(50)]

        messages, _ = read(tmp_path, lines({"messages": turns}))

        in_order = sorted(messages, key=lambda m: (m.created_at, m.id))
        assert [m.content for m in in_order] == [str(n) for n in range(50)]


class TestIds:
    """The same file twice is the same messages, and another is not."""

    def ids(self, tmp_path: Path, text: str, **options: Any) -> list[Any]:
        return [m.id for m in read(tmp_path, text, **options)[0]]

    def test_a_file_read_again_or_with_more_behind_it_has_the_same_ids(self, tmp_path: Path) -> None:
        text = lines(CHAT, HISTORY[0] | {"messages": CHAT["messages"]}, MEMORIES)
        first = self.ids(tmp_path, text)
        path = tmp_path / "log.jsonl"

        more = [m.id for m in read(tmp_path, text + lines(CHAT))[0]]
        os.utime(path, (FILE_TIME + 100, FILE_TIME + 100))
        options = ImportOptions(SPACE, tenant_id="acme")
        later = [
            each.message.id
            for each in read_source(opened(path), "log", options).messages
            if isinstance(each, ImportedMessage)
        ]

        assert more[: len(first)] == first
        assert later == more
        assert len(set(more)) == len(more)

    def test_marks_and_calls_make_no_other_message(self, tmp_path: Path) -> None:
        """So a log that an earlier release imported, by its words alone, is known again."""
        words = {"role": "assistant", "content": [{"type": "text", "text": "Look."}]}
        more = {
            **words,
            "content": [{"type": "image_url", "image_url": {}}, *words["content"]],
            "tool_calls": [{"name": "f"}],
        }

        assert self.ids(tmp_path, lines(words)) == self.ids(tmp_path, lines(more))

    def test_another_tenants_are_others(self, tmp_path: Path) -> None:
        text = lines(CHAT)

        assert not set(self.ids(tmp_path, text)) & set(self.ids(tmp_path, text, tenant_id="globex"))

    def test_a_memory_is_known_by_the_id_that_it_had(self, tmp_path: Path) -> None:
        there = lines(*MEMORIES["results"])
        turned = lines(*reversed(MEMORIES["results"]))

        assert self.ids(tmp_path, there) == self.ids(tmp_path, turned)[::-1]


def test_a_line_beyond_all_bounds_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobs.transfer.records.MOST_BYTES", 1000)

    with pytest.raises(MovingInputError, match="line 1 is longer"):
        source(tmp_path, json.dumps({"role": "user", "content": "x" * 2000}))


def test_a_document_beyond_all_bounds_is_read_as_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobs.transfer.records.MOST_BYTES", 200)
    text = "{oops\n" + lines(*({"role": "user", "content": f"m{n}"} for n in range(20)))

    messages, left_out = read(tmp_path, text)

    assert (len(messages), len(left_out)) == (20, 1)
