"""Opening of a replica's database."""

import asyncio
from collections.abc import Awaitable, Callable

import ray
import structlog

from deployments.errors import ConfigurationError, DatabaseUnavailableError
from deployments.settings import Settings
from deployments.storage.postgres.database import Database, PoolSize, pool_size
from deployments.storage.postgres.embedded import ensure_running
from deployments.storage.postgres.schema import database_url, prepare

logger = structlog.get_logger(__name__)


async def open_database(settings: Settings, size: PoolSize, *, reads_only: bool = False) -> Database:
    """Return the database of the settings. It is checked now if it can be reached, else used once it can be.

    `reads_only`: use `MEMORY_DATABASE_READ_URL` if it is set. Raises `ConfigurationError`.
    """
    check_nodes(settings, _nodes())
    try:
        await asyncio.to_thread(prepare, settings)
    except DatabaseUnavailableError as error:
        logger.warning("database_unavailable_at_start", reason=str(error))
    url = await asyncio.to_thread(database_url, settings)
    revive = _reviver(settings)
    if reads_only and settings.database.read_url is not None:
        url, revive = settings.database.read_url.get_secret_value(), None
    return Database(url, settings.database, pool_size(settings.database, size), revive)


def check_nodes(settings: Settings, nodes: int) -> None:
    """Raise `ConfigurationError` if each of several nodes would start its own embedded Postgres."""
    if settings.database.url is None and nodes > 1:
        raise ConfigurationError(
            f"MEMORY_DATABASE_URL is not set, but the cluster has {nodes} nodes: the embedded Postgres serves one only"
        )


def _reviver(settings: Settings) -> Callable[[], Awaitable[str]] | None:
    if settings.database.url is not None:
        return None

    async def revive() -> str:
        return await asyncio.to_thread(ensure_running, settings.runtime.data_dir)

    return revive


def _nodes() -> int:
    if not ray.is_initialized():
        return 1
    return sum(node["Alive"] for node in ray.nodes())  # type: ignore[no-untyped-call]
