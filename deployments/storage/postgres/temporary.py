"""Temporary databases, for work that must not touch stored data."""

import asyncio
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg
from pydantic import SecretStr
from sqlalchemy.exc import DBAPIError

from deployments.errors import ConfigurationError
from deployments.settings import Settings
from deployments.storage.postgres.database import Database, PoolSize
from deployments.storage.postgres.embedded import ensure_running, stop
from deployments.storage.postgres.schema import prepare, upgrade


@contextmanager
def temporary_server(settings: Settings) -> Iterator[str]:
    """Yield the URL of the settings' server, or of an embedded one in a directory that is removed afterwards."""
    if settings.database.url is not None:
        yield settings.database.url.get_secret_value()
        return
    with tempfile.TemporaryDirectory(prefix="memory-temporary-") as directory:
        # Root's Postgres runs as another user, which must be able to enter.
        Path(directory).chmod(0o711)
        try:
            url = ensure_running(Path(directory))
            # Temporary data need not survive a crash of the machine, and is faster to store and drop without fsync.
            for statement in ("ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()"):
                asyncio.run(_execute(url, settings, statement))
            yield url
        finally:
            stop(Path(directory))


@contextmanager
def temporary_database(server_url: str, settings: Settings, purpose: str) -> Iterator[Settings]:
    """Yield settings for a new database `memory_PURPOSE_RANDOM` of a server. It is dropped afterwards, even if in use.

    It is migrated, and has the settings' embedding space. Must not be called while an event loop runs.
    Raises `ConfigurationError`, or `DatabaseUnavailableError` when the server cannot be reached.
    """
    name = f"memory_{purpose}_{uuid4().hex[:12]}"
    url = urlsplit(server_url)._replace(path=f"/{name}").geturl()
    temporary = settings.database.model_copy(update={"url": SecretStr(url), "read_url": None})
    try:
        asyncio.run(_execute(server_url, settings, f"CREATE DATABASE {name}"))
        _migrate(url)
        prepared = replace(settings, database=temporary)
        prepare(prepared)
        yield prepared
    finally:
        asyncio.run(_execute(server_url, settings, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"))


async def settle(database: Database) -> None:
    """Update the planner's statistics at once: autovacuum would need up to a minute."""
    async with database.connection() as connection:
        await connection.execute("VACUUM ANALYZE")


def _migrate(url: str) -> None:
    try:
        upgrade(url)
    except DBAPIError as error:
        raise ConfigurationError(f"MEMORY_DATABASE_URL: a new database cannot be set up: {error.orig}") from error


async def _execute(url: str, settings: Settings, statement: str) -> None:
    try:
        connection = await Database(url, settings.database, PoolSize(min_size=0, max_size=1)).connect()
        try:
            await connection.execute(statement)
        finally:
            await connection.close()
    except asyncpg.PostgresError as error:
        raise ConfigurationError(f"MEMORY_DATABASE_URL: a database of its own is refused: {error}") from error
