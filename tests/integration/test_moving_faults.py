"""Moving a tenant when something goes wrong: the same command goes on, and what cannot be taken is told."""

import asyncio
import gzip
import io
import json
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from pydantic import SecretStr

from deployments.schemas.transfer import VectorSpace
from deployments.settings import Settings
from deployments.storage.messages.analysis import message_analyzer
from deployments.storage.postgres.database import Database, PoolSize
from deployments.storage.transfer.imports import ImportRepository
from deployments.storage.transfer.snapshots import Reached
from jobs.progress import ProgressLines
from jobs.terminal import FAILED, INTERRUPTED, MISUSED, OK
from jobs.transfer.importing import import_file
from jobs.transfer.source import ImportOptions
from jobs.transfer.unfinished_file import UnfinishedFile
from tests.integration.moving import (
    COUNT,
    SMALL,
    at,
    execute,
    fill,
    header_of,
    in_a_thread,
    killed,
    lines_of,
    on_a_full_disk,
    run,
    summary,
)
from tests.integration.postgres import SPACE
from tests.integration.reanalyzing import reanalyze_at
from tests.integration.recount import recount_at

# A vector whose numbers are none.
NOT_A_NUMBER = b64encode(b"\x00\x7e" * 256).decode()
SAID_LATER = """
    INSERT INTO messages (id, tenant_id, conversation_id, role, content, embedding_status, terms, created_at,
                          updated_at)
    SELECT gen_random_uuid(), 'acme', 'c', 'user', 'late', 'failed', message_terms('english', NULL, 'late', now()),
           now(), now()
"""
FIRST_FAILED = """
    (SELECT id FROM messages WHERE tenant_id = 'acme' AND embedding_status = 'failed' ORDER BY created_at, id LIMIT 1)
"""
CHANGES = {
    "changed": "UPDATE messages SET archived = NOT archived WHERE id = ",
    "deleted": "DELETE FROM messages WHERE id = ",
    "failed again": "UPDATE embedding_jobs SET last_error = 'another' WHERE message_id = ",
}


CUT_OFF = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def rewritten(path: Path, change: Callable[[list[bytes]], list[bytes]]) -> Path:
    changed = path.with_name("changed.jsonl.gz")
    changed.write_bytes(gzip.compress(b"".join(change(gzip.decompress(path.read_bytes()).splitlines(keepends=True)))))
    return changed


class TestKilled:
    """SIGKILL in the middle, and the same command again."""

    COUNT = 3 * SMALL + 7

    @pytest.fixture
    def large(self, here: str) -> str:
        fill(here, self.COUNT)
        return here

    def test_an_export_goes_on(self, large: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        path, plain = tmp_path / "acme.jsonl.gz", tmp_path / "plain.jsonl.gz"
        # The third part is on the disk, but that is not noted yet.
        killed(large, "jobs.transfer.unfinished_file", "UnfinishedFile", "_sync", 3, "export", "acme", path)
        assert not path.exists()
        execute(large, SAID_LATER)

        assert run("export", "acme", path) == OK

        assert f"Going on after {2 * SMALL:,}" in capsys.readouterr().err
        assert run("export", "acme", plain) == OK
        assert lines_of(path) == lines_of(plain)
        assert {**header_of(path), "exported_at": ""} == {**header_of(plain), "exported_at": ""}
        assert sorted(each.name for each in tmp_path.iterdir()) == ["acme.jsonl.gz", "plain.jsonl.gz"]

    def test_a_full_disk_is_told_as_the_files_and_the_export_goes_on(
        self, large: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        path = tmp_path / "acme.jsonl.gz"

        code, said = on_a_full_disk(large, 2**14, "export", "acme", path)

        assert (code, said.splitlines()[-1]) == (FAILED, f"error: {path} cannot be written: File too large")
        assert "database" not in said
        assert run("export", "acme", path) == OK
        assert "Going on after" in capsys.readouterr().err
        assert header_of(path)["messages"] == self.COUNT

    @pytest.mark.parametrize("change", CHANGES)
    def test_an_export_begins_again_where_what_it_had_is_not_true_any_more(
        self,
        large: str,
        tmp_path: Path,
        change: str,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        path, plain = tmp_path / "acme.jsonl.gz", tmp_path / "plain.jsonl.gz"
        with monkeypatch.context() as cut_off:
            cut_off.setattr(UnfinishedFile, "finish", interrupt)
            assert run("export", "acme", path) == INTERRUPTED
        execute(large, CHANGES[change] + FIRST_FAILED)

        assert run("export", "acme", path) == OK

        assert "beginning again" in capsys.readouterr().err
        assert run("export", "acme", plain) == OK
        assert lines_of(path) == lines_of(plain)

    def test_an_import_goes_on(
        self,
        large: str,
        there: str,
        tmp_path: Path,
        settings: Settings,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        asyncio.run(reanalyze_at(large, settings))
        path, again = tmp_path / "acme.jsonl.gz", tmp_path / "again.jsonl.gz"
        assert run("export", "acme", path) == OK
        killed(there, "deployments.storage.transfer.imports", "ImportRepository", "_conflicts", 3, "import", path)
        asyncio.run(recount_at(there))
        at(there, monkeypatch)

        assert run("import", path) == OK

        assert summary(capsys) == (self.COUNT - 2 * SMALL, 2 * SMALL, 0)
        assert run("export", "acme", again) == OK
        assert lines_of(again) == lines_of(path)
        # What was stored behind the service's back has the terms of Postgres' parser, and so other lengths.
        counts = [asyncio.run(recount_at(url))["acme"]._replace(term_count=0) for url in (there, large)]
        assert counts[0] == counts[1]

    def test_an_erasure_goes_on(self, large: str, capsys: pytest.CaptureFixture[str]) -> None:
        killed(large, "deployments.storage.tenants.erasure", "_Work", "_erase_batch", 3, "erase", "acme", "--yes")
        left = execute(large, "SELECT count(*) FROM messages WHERE tenant_id = 'acme'")[0][0]
        assert 0 < left < self.COUNT
        asyncio.run(recount_at(large))

        assert run("erase", "acme", "--yes") == OK

        receipt = json.loads(capsys.readouterr().out)
        assert (receipt["status"], receipt["messages"]) == ("completed", self.COUNT)
        assert set(asyncio.run(recount_at(large))) == {"globex"}


class TestTwoAtOnce:
    """The same command started twice."""

    def test_a_file_is_written_by_one_export(
        self, here: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        fill(here, 8)
        path = tmp_path / "acme.jsonl.gz"
        other = UnfinishedFile(path, "acme", with_vectors=True)

        assert run("export", "acme", path) == MISUSED
        assert "by another export" in capsys.readouterr().err
        other.close()
        assert run("export", "acme", path) == OK

    def test_two_imports_store_each_message_once(self, there: str, exported: Path, settings: Settings) -> None:
        database = settings.database.model_copy(update={"url": SecretStr(there)})
        space = VectorSpace(provider="local", model=SPACE.model, dimensions=SPACE.dimensions)

        async def both() -> list[tuple[int, int]]:
            databases = [Database(there, database, PoolSize(0, 1)) for _ in range(2)]
            try:
                imported = await asyncio.gather(
                    *(
                        import_file(
                            ImportRepository(each, message_analyzer(each, settings.search), space),
                            exported,
                            ImportOptions(space),
                            ProgressLines(io.StringIO()),
                            print,
                        )
                        for each in databases
                    )
                )
            finally:
                for each in databases:
                    await each.close()
            return [(each.stored, each.present) for each in imported]

        one, other = asyncio.run(both())

        assert one[0] + other[0] == COUNT
        assert sum(one) == sum(other) == COUNT
        assert asyncio.run(recount_at(there))["acme"].embedded == COUNT // 2


class TestDatabaseGone:
    """Cut off from the database in the middle: one line, and the same command again."""

    def test_an_export_goes_on(
        self, here: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        fill(here, 3 * SMALL)
        path = tmp_path / "acme.jsonl.gz"
        append = UnfinishedFile.append

        def cut_off(self: UnfinishedFile, lines: list[bytes], vectors: int, reached: Reached) -> None:
            append(self, lines, vectors, reached)
            in_a_thread(here, CUT_OFF)

        with monkeypatch.context() as once:
            once.setattr(UnfinishedFile, "append", cut_off)
            assert run("export", "acme", path) == FAILED
        assert "database cannot be reached" in capsys.readouterr().err.splitlines()[-1]

        assert run("export", "acme", path) == OK
        assert f"Going on after {SMALL}" in capsys.readouterr().err
        assert len(lines_of(path)) == 3 * SMALL

    def test_an_import_goes_on(
        self, there: str, exported: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        at(there, monkeypatch)
        conflicts = ImportRepository._conflicts
        calls: list[int] = []

        async def cut_off(self: ImportRepository, connection: Any, tenant_id: str, unknown: Any) -> Any:
            found = await conflicts(self, connection, tenant_id, unknown)
            calls.append(1)
            if len(calls) == 2:
                in_a_thread(there, CUT_OFF)
            return found

        with monkeypatch.context() as once:
            once.setattr(ImportRepository, "_conflicts", cut_off)
            assert run("import", exported) == FAILED
        assert "database cannot be reached" in capsys.readouterr().err.splitlines()[-1]

        assert run("import", exported) == OK
        assert summary(capsys) == (COUNT - SMALL, SMALL, 0)


class TestBadFiles:
    """What cannot be taken is named with its line; the rest is."""

    def test_bad_lines_are_named_and_the_others_taken(
        self, there: str, exported: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        def spoil(lines: list[bytes]) -> list[bytes]:
            message = json.loads(lines[1]) | {"id": str(uuid4()), "embedding": None, "embedding_status": "pending"}
            bad = [
                b"{no json\n",
                b"[]\n",
                *(
                    json.dumps(message | change).encode() + b"\n"
                    for change in (
                        {"content": "x" * 100_001},
                        {"role": "nobody"},
                        {"metadata": {"a": "x" * 20_000}},
                        {"created_at": "2999-01-01T00:00:00Z"},
                        {"importance": 2},
                        {"surprise": 1},
                        {"embedding": "AAAA"},
                        {"embedding": "AAAA", "embedding_status": "completed"},
                        {"embedding": "?", "embedding_status": "completed"},
                        {"embedding": NOT_A_NUMBER, "embedding_status": "completed"},
                        {"content": "\0"},
                    )
                ),
            ]
            header = json.loads(lines[0]) | {"messages": COUNT + len(bad)}
            return [json.dumps(header).encode() + b"\n", *lines[1:3], *bad, *lines[3:]]

        at(there, monkeypatch)

        assert run("import", rewritten(exported, spoil)) == FAILED

        captured = capsys.readouterr()
        assert json.loads(captured.out)["refused"] == 13
        assert json.loads(captured.out)["stored"] == COUNT
        reasons = [line for line in captured.err.splitlines() if line.startswith("line ")]
        assert sorted(int(line.split(":")[0].removeprefix("line ")) for line in reasons) == list(range(4, 17))
        assert "content" in next(line for line in reasons if line.startswith("line 6:"))
        asyncio.run(recount_at(there))

    @pytest.mark.parametrize("damage", ["cut", "a byte", "members"])
    def test_a_damaged_file_is_said_to_be_one_and_what_could_be_read_is_kept(
        self,
        here: str,
        there: str,
        tmp_path: Path,
        damage: str,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        fill(here, SMALL + 10)
        path = tmp_path / "acme.jsonl.gz"
        assert run("export", "acme", path) == OK
        whole = path.read_bytes()
        last = whole.rindex(b"\x1f\x8b\x08")
        if damage == "cut":
            path.write_bytes(whole[:-20])
        elif damage == "a byte":
            path.write_bytes(whole[: last + 60] + bytes([whole[last + 60] ^ 0xFF]) + whole[last + 61 :])
        else:
            # At the end of a member gzip itself notices nothing.
            path.write_bytes(whole[:last])
        at(there, monkeypatch)

        assert run("import", path) == FAILED

        complaint = capsys.readouterr().err.splitlines()[-1]
        assert complaint.startswith("error: ")
        assert "messages of it were stored" in complaint
        stored = execute(there, "SELECT count(*) FROM messages")[0][0]
        assert (stored == SMALL) if damage == "members" else (SMALL <= stored < SMALL + 10)
        path.write_bytes(whole)
        assert run("import", path) == OK
        assert execute(there, "SELECT count(*) FROM messages")[0][0] == SMALL + 10

    @pytest.mark.parametrize(
        ("text", "options", "words"),
        [
            ("", (), "no JSON"),
            ("hello\n", (), "no JSON"),
            ('{"a": 1}\n', (), "none of the formats"),
            ('{"format": "ai-memory-layer", "version": 2}\n', (), "version"),
            ('{"role": "user", "content": "Hello"}\n', (), "--tenant"),
            ('{"role": "user", "content": "Hello"}\n', ("--format", "ai-memory-layer"), "header"),
        ],
    )
    def test_what_makes_no_sense_is_refused_in_one_line(
        self,
        here: str,
        tmp_path: Path,
        text: str,
        options: tuple[str, ...],
        words: str,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        path = tmp_path / "file.jsonl"
        path.write_text(text)

        assert run("import", path, *options) == MISUSED

        (complaint,) = capsys.readouterr().err.splitlines()
        assert words in complaint

    def test_files_that_are_not_there_or_there_already_are_refused(
        self, here: str, tmp_path: Path, exported: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        capsys.readouterr()
        assert run("import", tmp_path / "nothing") == MISUSED
        assert run("export", "acme", exported) == MISUSED
        assert run("export", "acme", tmp_path / "no" / "folder.gz") == MISUSED

        assert [line.split(":")[0] for line in capsys.readouterr().err.splitlines()] == ["error"] * 3
