"""The ingress replica: opens what it needs, holds the handles, builds the application."""

from typing import Any

from fastapi import FastAPI
from ray.serve.handle import DeploymentHandle

from deployments.capacity import IngressCapacity
from deployments.errors import SearchUnavailableError, UnavailableError
from deployments.handles import RemoteMethod
from deployments.logs import configure_logging
from deployments.settings import Settings
from deployments.storage.opening import open_database
from serve_app.api import create_app
from serve_app.health import CHECK_TIMEOUT_SECONDS
from serve_app.services import create_services


class IngressServer:
    """One replica of the front door. A store needs no other deployment; a search crosses to Search."""

    async def __init__(
        self, capacity: IngressCapacity, search: DeploymentHandle[Any], embedding: DeploymentHandle[Any]
    ) -> None:
        settings = Settings.load()
        configure_logging(settings.runtime, "Ingress")
        self._database = await open_database(settings, capacity.pool.size)
        self._services = create_services(
            settings,
            capacity,
            self._database,
            RemoteMethod(search, "search_many", SearchUnavailableError, capacity.search_timeout_seconds),
            RemoteMethod(embedding, "probe", UnavailableError, CHECK_TIMEOUT_SECONDS),
        )

    def __serve_build_asgi_app__(self) -> FastAPI:
        return create_app(self._services)

    async def __del__(self) -> None:
        await self._database.close()
