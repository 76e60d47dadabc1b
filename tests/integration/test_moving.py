"""A tenant out of one database and into another: equal, whatever happens in between."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from deployments.schemas.transfer import MovedMessage
from deployments.settings import Settings
from deployments.storage.transfer.snapshots import Reached
from jobs.terminal import FAILED, MISUSED, OK
from jobs.transfer.unfinished_file import UnfinishedFile
from tests.integration.many_messages import alike
from tests.integration.moving import COUNT, SMALL, at, execute, fill, header_of, in_a_thread, lines_of, run, summary
from tests.integration.postgres import PostgresServer
from tests.integration.reanalyzing import reanalyze_at
from tests.integration.recount import recount_at

NOW = datetime.now(UTC)
STATISTICS = """
    SELECT messages, bytes, (SELECT count(*) FROM embedding_jobs WHERE NOT failed AND tenant_id = $1) AS pending
    FROM tenant_usage WHERE tenant_id = $1
"""
NAMED_BY_FACTS = """
    SELECT f.content, s.content, newer.content FROM messages f JOIN fact_sources ON fact_id = f.id
    JOIN messages s ON s.id = message_id LEFT JOIN messages newer ON newer.id = f.superseded_by
    WHERE f.tenant_id = $1 AND f.kind = 'fact' ORDER BY 1
"""


def test_a_round_trip_is_equal(
    here: str, there: str, exported: Path, tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    at(there, monkeypatch)
    assert run("import", exported) == OK
    asyncio.run(reanalyze_at(here, settings))
    again = tmp_path / "again.jsonl.gz"
    assert run("export", "acme", again) == OK

    assert len(lines_of(exported)) == COUNT
    assert lines_of(again) == lines_of(exported)
    first, second = header_of(exported), header_of(again)
    assert {**second, "exported_at": first["exported_at"]} == first
    assert (first["messages"], first["vectors"]) == (COUNT, COUNT // 2)
    # Counted there as here, and what was pending is pending.
    assert asyncio.run(recount_at(there))["acme"] == asyncio.run(recount_at(here))["acme"]
    assert execute(there, STATISTICS, "acme") == execute(here, STATISTICS, "acme")
    assert execute(there, "SELECT count(*) FROM messages WHERE tenant_id = 'globex'")[0][0] == 0
    terms = "SELECT id, terms::text FROM messages WHERE tenant_id = 'acme' ORDER BY id"
    assert execute(there, terms) == execute(here, terms)


def test_what_stands_in_a_line(exported: Path) -> None:
    lines = [json.loads(line) for line in lines_of(exported)]
    fact = next(line for line in lines if "fact" in line)
    line = next(line for line in lines if "fact" not in line)

    assert set(fact) - set(line) == {"fact"}
    assert set(fact["fact"]) == {"source_ids", "valid_from", "valid_to", "superseded_by", "superseded_at"}
    assert set(line) == {
        *("id", "conversation_id", "role", "name", "content", "metadata", "importance", "importance_override"),
        *("archived", "archived_at", "embedding_status", "embedding_error", "created_at", "updated_at", "embedding"),
        *("language", "chat", "external_id", "user_id", "agent_id", "ttl_seconds", "expires_at"),
    }
    assert exported.stat().st_mode & 0o077 == 0


def test_one_users_messages_are_exported_alone(
    here: str, exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    at(here, monkeypatch)
    path = tmp_path / "ada.jsonl.gz"

    assert run("export", "acme", path, "--user", "ada") == OK

    hers = [line for line in lines_of(exported) if json.loads(line)["user_id"] == "ada"]
    assert lines_of(path) == hers
    header = header_of(path)
    assert (header["tenant_id"], header["user_id"], header["messages"]) == ("acme", "ada", len(hers))
    assert 0 < len(hers) < COUNT
    assert header_of(exported)["user_id"] is None
    capsys.readouterr()
    assert run("erase", "acme", "--user", "ada") == MISUSED
    assert f"{len(hers)} messages of acme's user ada would be erased" in capsys.readouterr().err
    assert run("erase", "acme", "--user", "ada", "--yes") == OK
    assert json.loads(capsys.readouterr().out)["messages"] == len(hers)
    assert run("import", path) == OK
    assert summary(capsys) == (len(hers), 0, 0)
    again = tmp_path / "again.jsonl.gz"
    assert run("export", "acme", again) == OK
    assert [json.loads(line)["id"] for line in lines_of(again)] == [
        json.loads(line)["id"] for line in lines_of(exported)
    ]


def test_importing_twice_changes_nothing(
    there: str, exported: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    at(there, monkeypatch)
    assert run("import", exported) == OK
    assert summary(capsys) == (COUNT, 0, 0)
    # What was changed since is not taken back.
    execute(there, "UPDATE messages SET archived = true WHERE tenant_id = 'acme'")
    everything = "SELECT m::text FROM messages m UNION ALL SELECT t::text FROM tenant_terms t ORDER BY 1"
    before = execute(there, everything)

    assert run("import", exported) == OK

    assert summary(capsys) == (0, COUNT, 0)
    assert execute(there, everything) == before


def test_without_vectors_all_but_what_failed_is_embedded_again(
    here: str, there: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(here, COUNT)
    path = tmp_path / "acme.jsonl.gz"
    assert run("export", "acme", path, "--without-vectors") == OK
    assert header_of(path)["space"] is None

    at(there, monkeypatch)
    assert run("import", path) == OK

    statuses = "SELECT embedding_status, count(*) FROM messages GROUP BY 1 ORDER BY 1"
    assert [tuple(row) for row in execute(there, statuses)] == [("failed", COUNT // 4), ("pending", COUNT * 3 // 4)]
    assert execute(there, "SELECT count(*) FROM embedding_jobs WHERE NOT failed")[0][0] == COUNT * 3 // 4
    asyncio.run(recount_at(there))


def test_vectors_of_another_space_are_refused_and_can_be_left_out(
    exported: Path, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    url = postgres.create()
    execute(url, "DELETE FROM embedding_space")
    execute(url, "DROP INDEX messages_embedding")
    at(url, monkeypatch)
    monkeypatch.setenv("MEMORY_EMBEDDING_DIMENSIONS", "128")

    assert run("import", exported) == MISUSED
    (complaint,) = capsys.readouterr().err.splitlines()
    assert all(word in complaint for word in ("256", "128", "wordllama", "--without-vectors"))
    assert run("import", exported, "--without-vectors") == OK
    assert summary(capsys) == (COUNT, 0, 0)
    postgres.drop(url)


class TestAnotherTenant:
    """The same file for a tenant of another name."""

    def test_on_another_installation_the_ids_stay(
        self, there: str, exported: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        at(there, monkeypatch)

        assert run("import", exported, "--tenant", "initech") == OK

        ids = {str(row[0]) for row in execute(there, "SELECT id FROM messages WHERE tenant_id = 'initech'")}
        assert ids == {json.loads(line)["id"] for line in lines_of(exported)}
        assert "acme" not in asyncio.run(recount_at(there))

    def test_beside_the_original_it_is_refused_without_ids_of_its_own(
        self, here: str, exported: Path, settings: Settings, capsys: pytest.CaptureFixture[str]
    ) -> None:
        asyncio.run(reanalyze_at(here, settings))
        assert run("import", exported, "--tenant", "initech") == MISUSED
        assert "--new-ids" in capsys.readouterr().err.splitlines()[-1]
        assert execute(here, "SELECT count(*) FROM messages WHERE tenant_id = 'initech'")[0][0] == 0

        for expected in ((COUNT, 0, 0), (0, COUNT, 0)):
            assert run("import", exported, "--tenant", "initech", "--new-ids") == OK
            assert summary(capsys) == expected
        counted = asyncio.run(recount_at(here))
        assert counted["initech"] == counted["acme"]
        order = "SELECT content FROM messages WHERE tenant_id = $1 ORDER BY created_at, id"
        in_order = [[row[0] for row in execute(here, order, tenant)] for tenant in ("acme", "initech")]
        assert sorted(in_order[0]) == sorted(in_order[1])
        # What facts name is the same under other ids.
        assert execute(here, NAMED_BY_FACTS, "initech") == execute(here, NAMED_BY_FACTS, "acme") != []


def test_an_erasure_only_counts_without_a_yes(here: str, capsys: pytest.CaptureFixture[str]) -> None:
    fill(here, 8)

    assert run("erase", "acme") == MISUSED
    assert run("erase", "acme", "--conversation", "c 1") == MISUSED
    assert run("erase", "acme", "--conversation", "nothing") == FAILED

    whole, conversation, nothing = capsys.readouterr().err.splitlines()
    assert "8 messages of acme" in whole
    assert "2 messages of acme's conversation c 1" in conversation
    assert "no such conversation" in nothing
    assert asyncio.run(recount_at(here))["acme"].embedded == 4


def test_a_tenant_without_anything_is_exported_as_nothing(
    here: str, there: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "nobody.jsonl.gz"
    assert run("export", "nobody", path) == OK
    assert header_of(path)["messages"] == 0

    at(there, monkeypatch)
    assert run("import", path) == OK
    assert summary(capsys) == (0, 0, 0)


def test_an_export_is_of_one_moment(here: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(here, SMALL + 5)
    append = UnfinishedFile.append

    def change_meanwhile(self: UnfinishedFile, lines: list[bytes], vectors: int, reached: Reached) -> None:
        in_a_thread(here, "DELETE FROM messages WHERE tenant_id = 'acme'")
        append(self, lines, vectors, reached)

    monkeypatch.setattr(UnfinishedFile, "append", change_meanwhile)
    path = tmp_path / "acme.jsonl.gz"

    assert run("export", "acme", path) == OK

    assert len(lines_of(path)) == header_of(path)["messages"] == SMALL + 5


def test_a_name_that_another_message_has_here_is_told_and_counted(
    there: str, exported: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second, *_ = [each for each in map(json.loads, lines_of(exported)) if each["external_id"]]
    at(there, monkeypatch)
    execute(there, alike("acme", "plums", 2))
    named = """
        UPDATE messages SET external_id = $1, expires_at = $2
        WHERE id = (SELECT id FROM messages WHERE tenant_id = 'acme' AND external_id IS NULL LIMIT 1)
    """
    execute(there, named, first["external_id"], None)
    # What has expired here holds nobody up.
    execute(there, named, second["external_id"], datetime.now(UTC) - timedelta(days=1))

    assert run("import", exported) == FAILED

    told = capsys.readouterr()
    assert f"another message here has its external_id {first['external_id']!r}" in told.err
    assert json.loads(told.out)["stored"] == COUNT - 1
    assert json.loads(told.out)["refused"] == 1
    there_now = {row[0] for row in execute(there, "SELECT id::text FROM messages WHERE external_id IS NOT NULL")}
    assert second["id"] in there_now
    assert first["id"] not in there_now


def test_what_an_export_of_all_has_written_is_none_of_a_users(tmp_path: Path) -> None:
    path = tmp_path / "acme.jsonl.gz"
    cut_off = UnfinishedFile(path, "acme", with_vectors=True)
    cut_off.begin()
    cut_off.append([b"{}\n"], 0, Reached(1, 2, NOW, uuid4()))
    cut_off.close()

    for user_id, goes_on in ((None, True), ("ada", False)):
        file = UnfinishedFile(path, "acme", user_id, with_vectors=True)
        assert (file.written is not None) == goes_on
        file.close()


def test_what_has_expired_since_its_export_can_be_read() -> None:
    line = {"id": uuid4(), "tenant_id": "acme", "conversation_id": "c1", "role": "user", "content": "said"}
    times = {"created_at": NOW, "updated_at": NOW, "ttl_seconds": 1, "expires_at": NOW - timedelta(days=1)}

    assert MovedMessage.model_validate({**line, **times}).expires_at == times["expires_at"]
