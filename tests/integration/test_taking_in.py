"""What others wrote, stored, embedded and found: by the same command, and once however often it comes."""

import asyncio
import json
from pathlib import Path

import pytest

from deployments.settings import Settings
from jobs.terminal import FAILED, OK
from tests.integration.calls import search
from tests.integration.failing import Scripted
from tests.integration.moving import execute, run
from tests.integration.recount import Counted, recounted
from tests.integration.service import create_service

CHATS = [
    {
        "conversation_id": "trip",
        "created_at": 1683453600,
        "messages": [
            {"role": "user", "name": "Per", "content": "My sister Ana moved to Lisbon."},
            {"role": "assistant", "content": [{"type": "text", "text": "How does she like it?"}]},
            {"role": "user", "content": None},
        ],
    },
    {"messages": [{"role": "user", "content": "It has rained for three days."}]},
]


@pytest.fixture
def log(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of two chats, one of whose messages cannot be taken."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "log.jsonl"
    path.write_text("".join(f"{json.dumps(chat)}\n" for chat in CHATS))
    return path


async def embedded_and_asked(settings: Settings) -> tuple[list[str], dict[str, Counted]]:
    provider = Scripted()
    try:
        async with create_service(settings, provider) as service:
            await service.embed_all()
            hits = (await search(service, "Where does Ana live?", neighbors=1))["items"]
            first = hits[0]
            return [first["content"], *(each["content"] for each in first["neighbors"])], await recounted(service)
    finally:
        await provider.close()


def test_chats_are_stored_once_embedded_and_found(
    settings: Settings, log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for stored, present in ((3, 0), (0, 3)):
        assert run("import", log, "--tenant", "acme") == FAILED
        captured = capsys.readouterr()
        assert "line 1, message 3: has no text\n" in captured.err
        assert json.loads(captured.out) == {
            "tenant_id": "acme",
            "format": "openai",
            "stored": stored,
            "present": present,
            "refused": 1,
            "partly": 0,
        }

    found, counted = asyncio.run(embedded_and_asked(settings))

    assert found == ["My sister Ana moved to Lisbon.", "How does she like it?"]
    assert (counted["acme"].messages, counted["acme"].embedded) == (3, 3)


def test_what_is_more_than_a_text_is_kept(database_url: str, log: Path) -> None:
    call = {"id": "c1", "function": {"name": "weather", "arguments": '{"city": "Lisbon"}'}}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    log.write_text(json.dumps({"messages": [message, {"role": "user", "content": "Thanks."}]}))

    assert run("import", log, "--tenant", "acme") == OK

    rows = execute(database_url, "SELECT content, chat FROM messages ORDER BY created_at")
    assert [(row["content"], json.loads(row["chat"] or "null")) for row in rows] == [
        ('weather({"city": "Lisbon"})', message),
        ("Thanks.", None),
    ]


def test_quotas_hold_nothing_back_but_count_it(database_url: str, log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMORY_QUOTA_MESSAGES", "1")
    log.write_text(json.dumps(CHATS[1]))

    for tenant in ("acme", "globex"):
        assert run("import", log, "--tenant", tenant) == OK

    assert execute(database_url, "SELECT sum(bytes)::int FROM embedding_jobs WHERE tenant_id = 'acme'")[0][0] == 29
    assert execute(database_url, "SELECT count(DISTINCT id) FROM messages")[0][0] == 2


def test_what_comes_in_is_due_at_once(database_url: str, log: Path) -> None:
    assert run("import", log, "--tenant", "acme") == FAILED

    waiting = "SELECT count(*) FROM embedding_jobs WHERE NOT failed AND claim_id IS NULL AND available_at <= now()"
    assert execute(database_url, waiting)[0][0] == 3
