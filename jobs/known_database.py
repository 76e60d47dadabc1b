"""Selects the database of a job: one that the settings name, or an existing one. Creates none as a side effect."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from deployments.env_file import load_env_file
from deployments.settings import Settings
from deployments.storage.postgres.database import Database, PoolSize
from deployments.storage.postgres.embedded import check_known
from deployments.storage.postgres.schema import database_url, prepare


def prepared_settings(*, creates: bool = False) -> Settings:
    """Return the settings from the environment and `.env`, with their database ready.

    `creates`: whether to create the embedded database in a named data directory that has none. Raises
    `ConfigurationError`, or `DatabaseUnavailableError`.
    """
    load_env_file()
    settings = Settings.load()
    if settings.database.url is None:
        check_known(settings.runtime, creates=creates)
    prepare(settings)
    return settings


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Database]:
    """Yield the database of the settings, with one connection at most, and close it at the end of the block."""
    database = Database(database_url(settings), settings.database, PoolSize(min_size=0, max_size=1))
    try:
        yield database
    finally:
        await database.close()
