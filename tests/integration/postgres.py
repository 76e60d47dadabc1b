"""A real Postgres for the tests: migrated once into a template, whose copies pass from test to test."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import asyncpg

from deployments.schemas.vectors import EmbeddingSpace, ProviderName, SpaceSource
from deployments.storage.postgres.embedded import ensure_running, stop
from deployments.storage.postgres.schema import check, upgrade
from tests.integration.emptying import Rows, catalog, empty, rows

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
        self.hurry()
        self.execute(f"CREATE DATABASE {TEMPLATE}")
        self.migrate(TEMPLATE)
        self._constant: Rows | None = None
        self._catalogs: dict[str, list[str]] = {}
        self._free: list[str] = []

    def hurry(self) -> None:
        """Set what the tests' databases need not have: they are thrown away, and none lives to be vacuumed.

        Autovacuum would change the planner's statistics in the middle of some test.
        """
        for setting in ("fsync", "full_page_writes", "autovacuum"):
            self.execute(f"ALTER SYSTEM SET {setting} = off")
        self.execute("SELECT pg_reload_conf()")

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

    def lend(self) -> str:
        """Return the URL of an empty, migrated database that nobody else uses until it is given back."""
        if self._free:
            return self._free.pop()
        url = self.create()
        self._catalogs[url] = asyncio.run(self._catalog(url))
        return url

    def take_back(self, url: str) -> None:
        """Empty a database for the next test, or drop it if the test changed its schema or statistics."""
        if asyncio.run(self._emptied(url)):
            self._free.append(url)
        else:
            self.drop(url)

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

    async def _catalog(self, url: str) -> list[str]:
        async with connected(url) as connection:
            if self._constant is None:
                self._constant = await rows(connection)
            return await catalog(connection)

    async def _emptied(self, url: str) -> bool:
        async with connected(url) as connection:
            if await catalog(connection) != self._catalogs.pop(url):
                return False
            await empty(connection, self._constant or {})
            self._catalogs[url] = await catalog(connection)
            return True

    async def _execute(self, statement: str) -> None:
        async with connected(self.url) as connection:
            await connection.execute(statement)


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[asyncpg.Connection]:
    """Connect, and close the connection at the end."""
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


async def _claim_space(url: str) -> None:
    async with connected(url) as connection:
        await check(connection, SOURCE)
