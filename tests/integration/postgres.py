"""A real Postgres for the tests: migrated once into a template, copied for each test."""

import asyncio
import shutil
from pathlib import Path
from uuid import uuid4

import asyncpg

from deployments.embedding.providers.protocol import EmbeddingSpace
from deployments.embedding.providers.registry import SpaceSource
from deployments.settings import ProviderName
from deployments.storage.embedded import ensure_running, stop
from deployments.storage.schema import check, upgrade

TEMPLATE = "migrated"
SPACE = EmbeddingSpace("wordllama/l2_supercat", 256)
SOURCE = SpaceSource(ProviderName.LOCAL, SPACE)

MEMORY_DISK = Path("/dev/shm")  # noqa: S108 - directories of our own are made in it
ROOM_BYTES = 2 * 1024**3


def fast_directory() -> str | None:
    """Where files are made fastest, or None: a copied database is 300 files, and there is one for each test."""
    has_room = MEMORY_DISK.is_dir() and shutil.disk_usage(MEMORY_DISK).free > ROOM_BYTES
    return str(MEMORY_DISK) if has_room else None


class PostgresServer:
    """The embedded server under a directory of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.url = ensure_running(directory)
        # The databases of the tests are thrown away: what is written need not survive the machine.
        self.execute("ALTER SYSTEM SET fsync = off")
        self.execute("ALTER SYSTEM SET full_page_writes = off")
        self.execute("SELECT pg_reload_conf()")
        self.execute(f"CREATE DATABASE {TEMPLATE}")
        self.migrate(TEMPLATE)

    def url_of(self, database: str) -> str:
        """The URL of one of its databases."""
        return self.url.replace("/memory_layer?", f"/{database}?")

    def migrate(self, database: str) -> None:
        """Run the migrations against an empty database, and claim the embedding space."""
        url = self.url_of(database)
        upgrade(url)
        asyncio.run(_claim_space(url))

    def create(self, template: str = TEMPLATE) -> str:
        """A new database; its URL."""
        name = f"test_{uuid4().hex}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
        return self.url_of(name)

    def drop(self, url: str) -> None:
        """Drop a database, whoever is still connected to it."""
        name = url.removeprefix("postgresql://postgres@/").partition("?")[0]
        self.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def start(self) -> None:
        """Start it again."""
        ensure_running(self.directory)

    def stop(self) -> None:
        """Stop it: every connection is cut."""
        stop(self.directory)

    def execute(self, statement: str) -> None:
        """Run a statement outside of a transaction."""
        asyncio.run(self._execute(statement))

    async def _execute(self, statement: str) -> None:
        connection = await asyncpg.connect(self.url)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()


async def _claim_space(url: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await check(connection, SOURCE)
    finally:
        await connection.close()
