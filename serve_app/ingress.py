"""The ingress replica: opens its database pool, holds the deployment handles, builds the application."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from fastapi import FastAPI
from ray import serve
from ray.serve.context import _get_global_client
from ray.serve.handle import DeploymentHandle

from deployments.errors import DatabaseUnavailableError, SearchUnavailableError, UnavailableError
from deployments.rate_limits.limiter import RateLimiter
from deployments.rate_limits.redis_counter import RedisCounter
from deployments.runtime.capacity import Capacity, IngressCapacity
from deployments.runtime.connection_budget import check_demands, demands, most_replicas
from deployments.runtime.database import open_database
from deployments.runtime.health import CHECK_TIMEOUT_SECONDS, Probe
from deployments.runtime.remote import RemoteAnswer, RemoteMethod
from deployments.runtime.replica import Replica
from deployments.search.routing.affinity import RunningReplicas
from deployments.search.routing.failover import CHECK_SECONDS, Failover
from deployments.search.routing.whole_answers import AnswerCalls
from deployments.settings import Settings
from deployments.storage.postgres.database import Database
from deployments.storage.postgres.schema import connection_limit
from serve_app.api import create_app
from serve_app.edge.instruments import IngressInstruments, IngressMetrics
from serve_app.edge.trailers import drop_trailers
from serve_app.health import Probes
from serve_app.launcher.cluster_environment import is_behind_wrapper
from serve_app.retention.jobs import submit_retention_job
from serve_app.services import create_services

# Shorter than the default scrape timeout of Prometheus.
METRICS_TEXT_SECONDS = 5.0

logger = structlog.get_logger(__name__)


class IngressServer(Replica):
    """One ingress replica. A store calls no other deployment; a search or a context calls Search."""

    async def __init__(  # type: ignore[misc]  # Serve awaits it
        self,
        capacity: Capacity,
        search: DeploymentHandle[Any],
        embedding: DeploymentHandle[Any],
        rate_limits: DeploymentHandle[Any],
        metrics: DeploymentHandle[Any],
        scoring: DeploymentHandle[Any],
    ) -> None:
        settings = Settings.load().for_requests()
        super().__init__("Ingress", settings)
        drop_trailers()
        self._database = await open_database(settings, capacity.ingress.pool.size)
        await _check_connections(self._database, capacity, settings)
        self._metrics.watch_pool(self._database)
        text = RemoteMethod(metrics, "text", UnavailableError, METRICS_TEXT_SECONDS)
        measured = IngressMetrics(self._metrics, IngressInstruments(self._metrics.registry), text)
        timeout = capacity.ingress.search_timeout_seconds
        failover = Failover(RunningReplicas.names, _check(search))
        self._redis = _redis(settings, capacity)
        self._services = create_services(
            settings,
            capacity.ingress,
            self._database,
            _on_replica(search, "search_many", "search_alone", timeout, failover),
            _on_replica(search, "assemble_many", "assemble_alone", timeout, failover),
            Probes(
                search=_probe(search),
                embedding=_probe(embedding),
                scoring=_probe(scoring),
                rate_limits=_probe(rate_limits) if self._redis is None else self._redis.ping,
                metrics=_probe(metrics) if settings.runtime.metrics_enabled else None,
            ),
            self._limiter(settings, capacity.ingress, rate_limits, measured.instruments),
            submit_retention_job,
            metrics=measured,
            liveness=self.liveness,
        )
        self._report_to(metrics)
        await self._services.keyring.start()
        self._watching = asyncio.create_task(self._services.retention_scheduler.run())
        self.liveness.watch("following the keys", self._services.keyring.following)
        self.liveness.watch("looking after retention", self._watching)

    def _limiter(
        self,
        settings: Settings,
        capacity: IngressCapacity,
        rate_limits: DeploymentHandle[Any],
        instruments: IngressInstruments,
    ) -> RateLimiter:
        in_cluster = RemoteMethod(rate_limits, "take_many", UnavailableError, capacity.rate_limits_timeout_seconds)
        count = in_cluster if self._redis is None else self._redis.take_many
        return RateLimiter(settings.rate_limits, count, capacity.rate_limits, instruments.limit_counts())

    def __serve_build_asgi_app__(self) -> FastAPI:
        return create_app(self._services, answers_request_id=False, behind_haproxy=is_behind_wrapper(os.environ))

    async def __del__(self) -> None:
        self._watching.cancel()
        await self._services.keyring.stop()
        if self._redis is not None:
            await self._redis.close()
        await self._database.close()
        await self._end()


def _on_replica(
    search: DeploymentHandle[Any], together: str, alone: str, timeout: float, failover: Failover
) -> AnswerCalls[Any]:
    """Return a function that calls the Search replica of a given name, as `TenantRouter` expects."""

    def answers_of(replica: str) -> RemoteMethod:
        return RemoteMethod(search.options(session_id=replica), together, SearchUnavailableError, timeout)

    def answer_of(replica: str) -> RemoteAnswer:
        return RemoteAnswer(search.options(session_id=replica), alone, SearchUnavailableError, timeout)

    return AnswerCalls(failover.guarded(answers_of), failover.guarded(answer_of), failover.available)


def _check(search: DeploymentHandle[Any]) -> Callable[[str], Awaitable[bool]]:
    """Return a function that asks a Search replica for its name and returns whether that one answered."""

    async def check(replica: str) -> bool:
        named = search.options(session_id=replica)
        answered: str = await RemoteMethod(named, "name", SearchUnavailableError, CHECK_SECONDS)()
        return answered == replica

    return check


def _probe(deployment: DeploymentHandle[Any]) -> Probe:
    return RemoteMethod(deployment, "probe", UnavailableError, CHECK_TIMEOUT_SECONDS)


def _redis(settings: Settings, capacity: Capacity) -> RedisCounter | None:
    url = settings.rate_limits.redis_url
    if url is None:
        return None
    return RedisCounter(url.get_secret_value(), capacity.ingress.rate_limits_timeout_seconds)


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
    """Return the full details of `serve status`: only they contain the number of replicas that the config requests."""
    client = _get_global_client()
    if client is None:
        raise RuntimeError("an ingress replica runs outside of Serve")
    details: dict[str, Any] = client.get_serve_details()
    return details
