"""The ingress replica: opens what it needs, holds the handles, builds the application."""

import asyncio
from typing import Any

import structlog
from fastapi import FastAPI
from ray import serve
from ray.serve.context import _get_global_client
from ray.serve.handle import DeploymentHandle

from deployments.capacity import Capacity
from deployments.errors import DatabaseUnavailableError, SearchUnavailableError, UnavailableError
from deployments.handles import RemoteMethod
from deployments.logs import configure_logging
from deployments.settings import Settings
from deployments.storage.database import Database
from deployments.storage.opening import open_database
from deployments.storage.schema import connection_limit
from serve_app.api import create_app
from serve_app.connections import check_demands, demands, most_replicas
from serve_app.health import CHECK_TIMEOUT_SECONDS
from serve_app.retention_jobs import submit_retention_job
from serve_app.services import create_services

logger = structlog.get_logger(__name__)


class IngressServer:
    """One replica of the front door. A store needs no other deployment; a search or a context crosses to Search."""

    async def __init__(  # type: ignore[misc]  # Serve awaits it
        self, capacity: Capacity, search: DeploymentHandle[Any], embedding: DeploymentHandle[Any]
    ) -> None:
        settings = Settings.load()
        configure_logging(settings.runtime, "Ingress")
        self._database = await open_database(settings, capacity.ingress.pool.size)
        await _check_connections(self._database, capacity, settings)
        timeout = capacity.ingress.search_timeout_seconds
        self._services = create_services(
            settings,
            capacity.ingress,
            self._database,
            RemoteMethod(search, "search_many", SearchUnavailableError, timeout),
            RemoteMethod(search, "assemble_many", SearchUnavailableError, timeout),
            RemoteMethod(embedding, "probe", UnavailableError, CHECK_TIMEOUT_SECONDS),
            submit_retention_job,
        )
        await self._services.keyring.start()
        self._watching = asyncio.create_task(self._services.retention_watch.run())

    def __serve_build_asgi_app__(self) -> FastAPI:
        return create_app(self._services, answers_request_id=False)

    async def __del__(self) -> None:
        self._watching.cancel()
        await self._services.keyring.stop()
        await self._database.close()


async def _check_connections(database: Database, capacity: Capacity, settings: Settings) -> None:
    application = serve.get_replica_context().app_name
    details = await asyncio.to_thread(_serve_details)
    wanted = demands(capacity, settings, most_replicas(details, application))
    try:
        connection = await database.connect()
    except DatabaseUnavailableError:
        logger.warning("connections_not_checked")
        return
    try:
        allowed = await connection_limit(connection)
    finally:
        await connection.close()
    check_demands(wanted, allowed)


def _serve_details() -> dict[str, Any]:
    """What `serve status` shows, in full: only there are the replicas that the config asks for."""
    client = _get_global_client()
    if client is None:
        raise RuntimeError("an ingress replica runs outside of Serve")
    details: dict[str, Any] = client.get_serve_details()
    return details
