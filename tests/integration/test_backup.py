"""The commands of docs/backup.md, run as they stand there."""

import asyncio
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from deployments.settings import Settings
from deployments.storage.postgres.embedded import ensure_running, stop
from deployments.storage.postgres.schema import prepare
from jobs.terminal import OK
from tests.integration.calls import found
from tests.integration.failing import Scripted
from tests.integration.moving import at, execute, fill, lines_of, run
from tests.integration.postgres import PostgresServer, fast_directory
from tests.integration.recount import recount_at
from tests.integration.service import create_service
from tests.paths import ROOT

COUNT = 24
DIRECTORIES = (".data", ".data-restored", ".data-copied")


def commands(heading: str) -> list[str]:
    """The commands under a heading of the page."""
    page = (ROOT / "docs" / "backup.md").read_text()
    section = re.split(r"^## ", page.split(f"\n## {heading}\n")[1], flags=re.MULTILINE)[0]
    blocks = re.findall(r"```bash\n(.*?)```", section, re.DOTALL)
    return [re.sub(r"^   ", "", block, flags=re.MULTILINE) for block in blocks]


def shell(folder: Path, *blocks: str) -> str:
    """Run blocks of commands in one shell, in a folder that looks like a checkout's; what they print."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", "\n".join(blocks)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where the commands run. The servers that they start are gone afterwards."""
    monkeypatch.delenv("MEMORY_DATABASE_URL", raising=False)
    with tempfile.TemporaryDirectory(prefix="ml-test-", dir=fast_directory()) as directory:
        folder = Path(directory)
        (folder / ".venv").symlink_to(sys.prefix)
        for name in ("pyproject.toml", "migrations"):
            (folder / name).symlink_to(ROOT / name)
        monkeypatch.chdir(folder)
        yield folder
        for name in DIRECTORIES:
            stop(folder / name)


def exported(url: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    path = folder / f"{uuid4().hex}.jsonl.gz"
    with monkeypatch.context() as context:
        at(url, context)
        assert run("export", "acme", path) == OK
    return lines_of(path)


def same(url: str, original: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database holds what another does, and counts it alike."""
    assert exported(url, folder, monkeypatch) == exported(original, folder, monkeypatch)
    assert asyncio.run(recount_at(url)) == asyncio.run(recount_at(original))
    usage = "SELECT u::text FROM tenant_usage u ORDER BY 1"
    assert execute(url, usage) == execute(original, usage)


async def search_in(settings: Settings) -> list[str]:
    provider = Scripted()
    try:
        async with create_service(settings, provider) as service:
            await service.embed_all()
            return await found(service, "apples")
    finally:
        await provider.close()


def test_the_embedded_postgres_is_dumped_copied_restored_and_taken_back(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (where,) = commands("Where the database is")
    dump, copy = commands("Take")
    restore, put_back = commands("Restore")
    (look,) = commands("Try it")
    (downgrade,) = commands("Rollback plan")
    monkeypatch.setenv("MEMORY_DATA_DIR", str(folder / ".data"))
    prepare(Settings.load())
    original = ensure_running(folder / ".data")
    fill(original, COUNT)

    printed = shell(folder, where, dump, restore, look)

    restored = ensure_running(folder / ".data-restored")
    assert "ANALYZE" in printed
    assert f"{COUNT + 5}" in printed
    assert "(head)" in printed
    same(restored, original, folder, monkeypatch)
    upgrade = downgrade.replace("downgrade -1", "upgrade head")
    shell(folder, where.replace(".data", ".data-restored"), *[downgrade] * 7, upgrade)
    # Before 0010 there was no place for the senders' zones and languages, before 0014 none for names, users, expiry and
    # chat formats, before 0016 none for facts.
    lost = ("language", "external_id", "user_id", "agent_id", "ttl_seconds", "expires_at", "chat")
    execute(original, f"UPDATE messages SET utc_offset = 0, {', '.join(f'{each} = NULL' for each in lost)}")  # noqa: S608
    execute(original, "UPDATE messages SET version = 1")
    execute(original, "DELETE FROM messages WHERE kind = 'fact'")
    same(restored, original, folder, monkeypatch)
    monkeypatch.setenv("MEMORY_DATABASE_URL", restored)
    assert len(asyncio.run(search_in(Settings.load()))) > 0
    monkeypatch.delenv("MEMORY_DATABASE_URL")

    shell(folder, where, copy, put_back)
    same(ensure_running(folder / ".data-copied"), ensure_running(folder / ".data"), folder, monkeypatch)


def test_an_external_postgres_is_dumped_and_restored(
    folder: Path, database_url: str, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    (where,) = commands("Where the database is")
    dump, _ = commands("Take")
    programs = next(line for line in where.splitlines() if "programs" in line)
    restore = next(line for line in commands("Restore")[0].splitlines() if line.startswith("pg_restore"))
    fill(database_url, COUNT)
    empty = postgres.create(template="template1")

    shell(folder, programs, f"export DATABASE='{database_url}'", dump, f"export DATABASE='{empty}'", restore)

    same(empty, database_url, folder, monkeypatch)
    postgres.drop(empty)
