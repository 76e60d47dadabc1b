"""Runs migrations against `MEMORY_DATABASE_URL`, or against the URL that the caller put into the config."""

import asyncio
import os
from functools import partial

import asyncpg
from alembic import context
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

# Any number will do as long as it stays the same: two processes that migrate at once take turns.
MIGRATION_LOCK = 7_205_759_403_792_794


def database_url() -> str:
    url = str(context.config.get_alembic_option("sqlalchemy.url") or os.environ.get("MEMORY_DATABASE_URL", ""))
    scheme, separator, rest = url.partition("://")
    if not separator or scheme.split("+")[0] not in {"postgresql", "postgres"}:
        raise SystemExit("Set MEMORY_DATABASE_URL to the postgresql:// URL of the database to migrate.")
    return f"postgresql://{rest}"


def migrate(connection: Connection) -> None:
    context.configure(connection=connection)
    with context.begin_transaction():
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": MIGRATION_LOCK})
        context.run_migrations()


async def run_online() -> None:
    # The driver reads the URL, as it does for the service: SQLAlchemy does not know its options, sslmode for one.
    connect = partial(asyncpg.connect, database_url())
    engine = create_async_engine("postgresql+asyncpg://", async_creator=connect, poolclass=NullPool)
    try:
        async with engine.connect() as connection:
            await connection.run_sync(migrate)
    finally:
        await engine.dispose()


def run_offline() -> None:
    context.configure(url=database_url(), literal_binds=True)
    with context.begin_transaction():
        context.run_migrations()


if context.is_offline_mode():
    run_offline()
else:
    asyncio.run(run_online())
