"""A tenant out of one database and into another: equal, whatever happens in between."""

import asyncio
import gzip
import json
import threading
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from deployments.settings import Settings
from deployments.storage.snapshots import Reached
from jobs.moving.unfinished_file import UnfinishedFile
from jobs.terminal import FAILED, INTERRUPTED, MISUSED, OK
from tests.integration.moving import SMALL, at, execute, fill, header_of, in_small_parts, killed, lines_of, run
from tests.integration.postgres import PostgresServer
from tests.integration.recount import recount_at

COUNT = 40
# A vector whose numbers are none.
NOT_A_NUMBER = b64encode(b"\x00\x7e" * 256).decode()
STATISTICS = """
    SELECT messages, bytes, (SELECT count(*) FROM embedding_jobs WHERE NOT failed AND tenant_id = $1) AS pending
    FROM tenant_usage WHERE tenant_id = $1
"""


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


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


@pytest.fixture
def here(database_url: str, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The database that is moved from; commands run in a folder without `.env`, a few messages at a time."""
    monkeypatch.chdir(tmp_path)
    in_small_parts(monkeypatch)
    return database_url


@pytest.fixture
def there(postgres: PostgresServer) -> Iterator[str]:
    """The database that is moved to."""
    url = postgres.create()
    yield url
    postgres.drop(url)


@pytest.fixture
def exported(here: str, tmp_path: Path) -> Path:
    """Acme in a file."""
    fill(here, COUNT)
    path = tmp_path / "acme.jsonl.gz"
    assert run("export", "acme", path) == OK
    return path


def rewritten(path: Path, change: Callable[[list[bytes]], list[bytes]]) -> Path:
    changed = path.with_name("changed.jsonl.gz")
    changed.write_bytes(gzip.compress(b"".join(change(gzip.decompress(path.read_bytes()).splitlines(keepends=True)))))
    return changed


def summary(capsys: pytest.CaptureFixture[str]) -> tuple[int, int, int]:
    fields = json.loads(capsys.readouterr().out.splitlines()[-1])
    return fields["stored"], fields["present"], fields["refused"]


def test_a_round_trip_is_equal(
    here: str, there: str, exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at(there, monkeypatch)
    assert run("import", exported) == OK
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
    line = json.loads(lines_of(exported)[0])

    assert set(line) == {
        *("id", "conversation_id", "role", "name", "content", "metadata", "importance", "importance_override"),
        *("archived", "embedding_status", "embedding_error", "created_at", "updated_at", "embedding"),
    }
    assert exported.stat().st_mode & 0o077 == 0


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
        self, here: str, exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
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
        killed(large, "jobs.moving.unfinished_file", "UnfinishedFile", "_sync", 3, "export", "acme", path)
        assert not path.exists()
        execute(large, SAID_LATER)

        assert run("export", "acme", path) == OK

        assert f"Going on after {2 * SMALL:,}" in capsys.readouterr().err
        assert run("export", "acme", plain) == OK
        assert lines_of(path) == lines_of(plain)
        assert {**header_of(path), "exported_at": ""} == {**header_of(plain), "exported_at": ""}
        assert sorted(each.name for each in tmp_path.iterdir()) == ["acme.jsonl.gz", "plain.jsonl.gz"]

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
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        path, again = tmp_path / "acme.jsonl.gz", tmp_path / "again.jsonl.gz"
        assert run("export", "acme", path) == OK
        killed(there, "deployments.storage.arrivals", "ArrivalRepository", "_check_owner", 3, "import", path)
        asyncio.run(recount_at(there))
        at(there, monkeypatch)

        assert run("import", path) == OK

        assert summary(capsys) == (self.COUNT - 2 * SMALL, 2 * SMALL, 0)
        assert run("export", "acme", again) == OK
        assert lines_of(again) == lines_of(path)
        assert asyncio.run(recount_at(there))["acme"] == asyncio.run(recount_at(large))["acme"]

    def test_an_erasure_goes_on(self, large: str, capsys: pytest.CaptureFixture[str]) -> None:
        killed(large, "deployments.storage.erasure", "_Work", "_erase_batch", 3, "erase", "acme", "--yes")
        left = execute(large, "SELECT count(*) FROM messages WHERE tenant_id = 'acme'")[0][0]
        assert 0 < left < self.COUNT
        asyncio.run(recount_at(large))

        assert run("erase", "acme", "--yes") == OK

        receipt = json.loads(capsys.readouterr().out)
        assert (receipt["status"], receipt["messages"]) == ("completed", self.COUNT)
        assert set(asyncio.run(recount_at(large))) == {"globex"}


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
        # In a thread: an event loop is running here.
        statement = "DELETE FROM messages WHERE tenant_id = 'acme'"
        thread = threading.Thread(target=execute, args=(here, statement))
        thread.start()
        thread.join()
        append(self, lines, vectors, reached)

    monkeypatch.setattr(UnfinishedFile, "append", change_meanwhile)
    path = tmp_path / "acme.jsonl.gz"

    assert run("export", "acme", path) == OK

    assert len(lines_of(path)) == header_of(path)["messages"] == SMALL + 5
