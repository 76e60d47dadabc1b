"""Checks of the database: the revision of its schema, and its embedding spaces."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import cache, partial
from importlib.resources import files
from typing import TYPE_CHECKING, TypeAlias, TypeVar

import asyncpg

from deployments.embedding_space import space_source
from deployments.errors import ConfigurationError
from deployments.schemas.vectors import SpaceSource
from deployments.settings import Settings
from deployments.storage.postgres.database import Connection, Database, OwnConnection, PoolSize
from deployments.storage.postgres.embedded import ensure_running
from deployments.storage.postgres.named_queries import load_queries

if TYPE_CHECKING:
    from alembic.config import Config

T = TypeVar("T")
AnyConnection: TypeAlias = Connection | OwnConnection


def prepare(settings: Settings) -> None:
    """Start the embedded Postgres if no URL is set, bring its schema up to date, and check what it holds.

    An external database is not migrated: the operator decides that (`alembic upgrade head`).
    Raises `ConfigurationError`, or `DatabaseUnavailableError` when the database cannot be reached.
    """
    source = space_source(settings)
    url = database_url(settings)
    if settings.database.url is None and not asyncio.run(_with_connection(url, settings, _is_current)):
        upgrade(url)
    asyncio.run(_with_connection(url, settings, partial(check, source=source)))


def database_url(settings: Settings) -> str:
    """Return the URL of the database. Starts the embedded one if it is used."""
    if settings.database.url is None:
        return ensure_running(settings.runtime.data_dir)
    return settings.database.url.get_secret_value()


def upgrade(url: str) -> None:
    """Run the missing migrations. Concurrent callers wait for each other."""
    from alembic import command  # noqa: PLC0415 - with SQLAlchemy 20 MB and 0.3 s, which replicas do not need

    config = migrations()
    config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))
    command.upgrade(config, "head")


def migrations() -> "Config":
    """Return Alembic's configuration, wherever the package is installed."""
    from alembic.config import Config  # noqa: PLC0415 - as above

    config = Config()
    config.set_main_option("script_location", str(files("migrations")).replace("%", "%%"))
    return config


@cache
def known_revisions() -> list[str]:
    """Return the revisions that this code knows, the newest last: each migration's file begins with its own."""
    names = (each.name for each in files("migrations.versions").iterdir())
    return sorted(name.partition("_")[0] for name in names if name[0].isdigit())


def expected_revision() -> str:
    """Return the newest revision that this code knows."""
    return known_revisions()[-1]


def revision_problem(revision: str | None) -> str | None:
    """Return what is wrong with a database at this revision and how to fix it, or None."""
    if revision == expected_revision():
        return None
    if revision is not None and revision not in known_revisions():
        return (
            f"The database's schema is at revision {revision}, which this version does not know (its newest is "
            f"{expected_revision()}): a newer version has migrated it, so run that one, or downgrade with it first"
        )
    return (
        f"The database's schema is at revision {revision or 'none'}, but this version needs "
        f"{expected_revision()}: run `alembic upgrade head` with MEMORY_DATABASE_URL set"
    )


async def check(connection: AnyConnection, source: SpaceSource) -> None:
    """Check the database against this code and its settings. An empty one adopts the settings' embedding space.

    Settings may name the active space, the other one, or a former one: the database decides which is active.
    Raises `ConfigurationError` with one line that states what is stored, what was asked for, and how to fix it.
    """
    queries = load_queries("schema")
    problem = revision_problem(await schema_revision(connection))
    if problem is not None:
        raise ConfigurationError(problem)
    space = source.space
    stored = await queries.embedding_space(connection)
    if stored is None:
        await queries.create_embedding_space(
            connection, provider=source.provider, model=space.model, dimensions=space.dimensions
        )
        stored = await queries.embedding_space(connection)
    if not await queries.known_space(connection, model=space.model, dimensions=space.dimensions):
        raise ConfigurationError(
            f"The database holds embeddings of {stored['model']} with {stored['dimensions']} dimensions, but the "
            f"settings ask for {space.model} with {space.dimensions}: set MEMORY_EMBEDDING_PROVIDER, its model and "
            "MEMORY_EMBEDDING_DIMENSIONS back to what is stored (`python -m jobs.reembed` then takes it to another "
            "space), or use an empty database"
        )


async def _with_connection(url: str, settings: Settings, do: Callable[[OwnConnection], Awaitable[T]]) -> T:
    connection = await Database(url, settings.database, PoolSize(min_size=0, max_size=1)).connect()
    try:
        return await do(connection)
    finally:
        await connection.close()


async def _is_current(connection: OwnConnection) -> bool:
    return await schema_revision(connection) == expected_revision()


async def schema_revision(connection: AnyConnection) -> str | None:
    """Return the revision of the database, or None if no migration ever ran."""
    try:
        revision = await load_queries("schema").schema_revision(connection)
    except asyncpg.UndefinedTableError:
        return None
    return revision and str(revision)


def allowed_connections(settings: Settings) -> int:
    """Return how many connections the settings' database allows. Raises `DatabaseUnavailableError`."""
    return asyncio.run(_with_connection(database_url(settings), settings, connection_limit))


def keys_were_made(settings: Settings) -> bool:
    """Return whether the settings' database has an API key, even a revoked one. Raises `DatabaseUnavailableError`."""
    return asyncio.run(_with_connection(database_url(settings), settings, keys_exist))


async def keys_exist(connection: OwnConnection) -> bool:
    """Return whether there is an API key, even a revoked one."""
    return bool(await load_queries("api_keys").keys_exist(connection))


async def connection_limit(connection: AnyConnection) -> int:
    """Return how many connections Postgres allows for roles that are not superusers."""
    return int(await load_queries("schema").connection_limit(connection))
