"""Runs migrations against `MEMORY_DATABASE_URL`, or against the URL that the caller put into the config."""

import asyncio
import os
import sys
from functools import partial
from pathlib import Path

import asyncpg
from alembic import context
from dotenv import load_dotenv
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

# Any number will do as long as it stays the same: two processes that migrate at once take turns.
MIGRATION_LOCK = 7_205_759_403_792_794


def database_url() -> str:
    url = str(context.config.get_alembic_option("sqlalchemy.url") or url_of_environment())
    scheme, separator, rest = url.partition("://")
    if not separator or scheme.split("+")[0] not in {"postgresql", "postgres"}:
        raise SystemExit("Set MEMORY_DATABASE_URL to the postgresql:// URL of the database to migrate.")
    return f"postgresql://{rest}"


def url_of_environment() -> str:
    """Return `MEMORY_DATABASE_URL` of the environment, or of `.env` as the service reads it."""
    path = Path.cwd() / ".env"
    try:
        load_dotenv(path, override=False)
    except (OSError, ValueError) as error:
        raise SystemExit(f"{path} cannot be read: {type(error).__name__}. It must be UTF-8 text.") from None
    return os.environ.get("MEMORY_DATABASE_URL", "")


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
    try:
        asyncio.run(run_online())
    except (OSError, asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InvalidCatalogNameError) as error:
        # The service, which calls this too, has words of its own.
        if context.config.cmd_opts is None:
            raise
        raise SystemExit(
            f"MEMORY_DATABASE_URL: the database cannot be reached: {error}. See `{sys.executable} -m jobs.doctor`"
        ) from None
