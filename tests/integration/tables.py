"""Tables that cannot be read or written for a while: they are locked, or lack a column."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import asyncpg

from tests.integration.polling import until_answered


@asynccontextmanager
async def locked(url: str, table: str = "messages") -> AsyncIterator[asyncpg.Connection]:
    """Nobody reads or writes the table meanwhile. Yields a connection to watch from, which holds no lock."""
    holder, watcher = await asyncpg.connect(url), await asyncpg.connect(url)
    try:
        async with holder.transaction():
            await holder.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
            yield watcher
    finally:
        await holder.close()
        await watcher.close()


@asynccontextmanager
async def missing(url: str, table: str, column: str) -> AsyncIterator[None]:
    """The column is not there meanwhile."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(f"ALTER TABLE {table} RENAME {column} TO {column}_elsewhere")
        yield
        await connection.execute(f"ALTER TABLE {table} RENAME {column}_elsewhere TO {column}")
    finally:
        await connection.close()


async def waiting(connection: asyncpg.Connection) -> int:
    """How many statements of the service wait for the lock."""
    return int(
        await connection.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
    )


async def until(true: Callable[[int], bool], connection: asyncpg.Connection) -> None:
    """Poll until the number of waiting statements is such."""

    async def so() -> bool:
        return true(await waiting(connection))

    await until_answered(so)
