"""All checks, one after the other: what is looked at is not to notice it."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from deployments.connections import configured_replicas, most_replicas
from deployments.embedding.providers.registry import SpaceSource, space_source
from deployments.errors import DatabaseUnavailableError, MemoryLayerError
from deployments.settings import Settings
from deployments.storage.embedded import running_url
from deployments.storage.inspection import Inspection, inspecting
from jobs.doctor import cluster, database, provider, redis, serve_config, service
from jobs.doctor.checking import made
from jobs.doctor.clock import judge_clock
from jobs.doctor.embedded import judge_embedded
from jobs.doctor.findings import Finding, problem, skipped
from jobs.doctor.pools import judge_pools
from jobs.doctor.settings import together, valid

PROVIDER_SECONDS = 30.0
IMPORTING_SECONDS = 60.0
DATABASE = "database"

LookAtDatabase = Callable[[Inspection, Settings], Awaitable[list[Finding]]]
DATABASE_CHECKS: Mapping[str, LookAtDatabase] = {
    "database.server": database.server,
    "database.durability": database.durability,
    "database.extension": database.extension,
    "database.schema": database.schema,
}
# Of tables of ours: where the schema is not, they would all say the same.
SCHEMA_CHECKS: Mapping[str, LookAtDatabase] = {
    "database.indexes": database.indexes,
    "database.embedding_space": database.embedding_space,
    "database.statistics": database.statistics,
    "database.transactions": database.transactions,
    "embeddings.backlog": database.backlog,
    "keys": database.keys,
}


@dataclass(frozen=True)
class Asked:
    """What is to be looked at. `dashboard`, `url`: None: not. `provider`: whether it may be asked."""

    config: Path
    dashboard: str | None
    url: str | None
    provider: bool
    environment: Mapping[str, str]


async def examine(asked: Asked) -> list[Finding]:
    """Every check's findings, in the order in which things depend on each other."""
    findings = await made("settings", _soon(lambda: valid(asked.environment)))
    settings = _settings()
    config = serve_config.read_config(asked.config)
    findings += await made("serve_config", partial(_config, config, settings), IMPORTING_SECONDS)
    details = None if asked.dashboard is None else await _details(asked.dashboard)
    if settings is None:
        findings.append(skipped(DATABASE, "Nothing else can be looked at before the settings are right."))
    else:
        findings += await made("settings.together", _soon(lambda: together(settings)))
        pools = _pools(config, details)
        findings += await _database(settings, pools, ask_provider=asked.provider)
        findings += await _redis(settings)
    findings += await made(cluster.CHECK, _soon(lambda: _cluster(details)))
    findings += await _service(asked.url)
    return findings


def _soon(look: Callable[[], list[Finding]]) -> Callable[[], Awaitable[list[Finding]]]:
    async def find() -> list[Finding]:
        return look()

    return find


def _settings() -> Settings | None:
    try:
        return Settings.load()
    except MemoryLayerError:
        return None


async def _config(config: dict[str, Any] | Finding, settings: Settings | None) -> list[Finding]:
    if isinstance(config, Finding):
        return [config]
    return await asyncio.to_thread(serve_config.judge_config, config, settings)


async def _details(address: str) -> dict[str, Any] | Finding:
    found: dict[str, Any] = {}

    async def look() -> list[Finding]:
        details = await cluster.serve_details(address)
        if isinstance(details, Finding):
            return [details]
        found.update(details)
        return []

    trouble = await made(cluster.CHECK, look)
    return trouble[0] if trouble else found


def _cluster(details: dict[str, Any] | Finding | None) -> list[Finding]:
    if details is None:
        return [skipped(cluster.CHECK, "Name Ray's dashboard with --dashboard to have Serve asked.")]
    return [details] if isinstance(details, Finding) else cluster.judge_cluster(details)


async def _service(url: str | None) -> list[Finding]:
    if url is None:
        return [skipped(service.CHECK, "Name the service with --url to have it asked.")]
    return await made(service.CHECK, partial(service.answers, url), 2 * service.TIMEOUT_SECONDS)


async def _redis(settings: Settings) -> list[Finding]:
    url = settings.rate_limits.redis_url
    if url is None:
        return [skipped(redis.CHECK, "MEMORY_REDIS_URL is not set: the cluster counts by itself.")]
    return await made(redis.CHECK, partial(redis.counts, url.get_secret_value()))


@dataclass(frozen=True)
class _Pools:
    """Who says how many replicas there are, and what each takes on."""

    source: str
    application: Mapping[str, Any]
    replicas: Mapping[str, int]


def _pools(config: dict[str, Any] | Finding, details: dict[str, Any] | Finding | None) -> list[_Pools]:
    """Of the file, and of the running cluster: it may have been deployed from another one."""
    found = []
    if not isinstance(config, Finding):
        application = serve_config.application_of(config) or {}
        found.append(_Pools("serve_config.yaml", application, configured_replicas(application)))
    running = None if details is None or isinstance(details, Finding) else cluster.application_in(details)
    if running is not None and not isinstance(details, Finding) and details is not None:
        name, application = running
        found.append(_Pools("the running cluster", application["deployed_app_config"], most_replicas(details, name)))
    return found


async def _database(settings: Settings, pools: list[_Pools], *, ask_provider: bool) -> list[Finding]:
    findings = []
    if settings.database.url is None:
        findings += await made("database.embedded", _soon(lambda: judge_embedded(settings.runtime.data_dir)))
    source = _asked_space(settings)
    url = running_url(settings.runtime.data_dir) if settings.database.url is None else _secret(settings)
    if url is None:
        findings.append(skipped(DATABASE, "It does not run: nothing in it was looked at."))
    else:
        try:
            async with inspecting(url, settings.database) as inspection:
                findings += await _inspected(inspection, settings, pools)
                source = await _active_space(inspection) or source
        except DatabaseUnavailableError as error:
            findings.append(problem(DATABASE, error.message, "Start it, or set MEMORY_DATABASE_URL right."))
    return [*findings, *await _provider(settings, source if ask_provider else None, asked=ask_provider)]


def _secret(settings: Settings) -> str | None:
    return settings.database.url and settings.database.url.get_secret_value()


async def _inspected(inspection: Inspection, settings: Settings, pools: list[_Pools]) -> list[Finding]:
    findings: list[Finding] = []
    for check, look in DATABASE_CHECKS.items():
        findings += await made(check, partial(look, inspection, settings))
    findings += await made("clock", partial(_clock, inspection))
    for pool in pools:
        findings += await made("connections", partial(_connections, inspection, settings, pool))
    if await _has_tables(inspection):
        for check, look in SCHEMA_CHECKS.items():
            findings += await made(check, partial(look, inspection, settings))
    else:
        findings.append(skipped("database.tables", "There are no tables of ours to look at."))
    return findings


async def _has_tables(inspection: Inspection) -> bool:
    try:
        return await inspection.revision() is not None
    except MemoryLayerError:
        return False


async def _clock(inspection: Inspection) -> list[Finding]:
    began = datetime.now(UTC)
    theirs = (await inspection.server()).clock
    return [judge_clock("Postgres", theirs, began + (datetime.now(UTC) - began) / 2)]


async def _connections(inspection: Inspection, settings: Settings, pool: _Pools) -> list[Finding]:
    capacity = serve_config.capacity_of(pool.application)
    if capacity is None:
        return [skipped("connections", f"The arguments of {pool.source} make no sense.")]
    limits = await inspection.connection_limits()
    return judge_pools(pool.source, capacity, pool.replicas, settings, limits)


def _asked_space(settings: Settings) -> SpaceSource | None:
    try:
        return space_source(settings)
    except MemoryLayerError:
        return None


async def _active_space(inspection: Inspection) -> SpaceSource | None:
    try:
        spaces = await inspection.spaces()
    except Exception:  # noqa: BLE001 - the checks of the schema have said why
        return None
    return spaces and spaces.active


async def _provider(settings: Settings, source: SpaceSource | None, *, asked: bool) -> list[Finding]:
    if not asked:
        return [skipped(provider.CHECK, "It was not to be asked (--no-provider).")]
    if source is None:
        return [skipped(provider.CHECK, "The settings name no embedding space.")]
    return await made(provider.CHECK, partial(provider.embeds, settings, source), PROVIDER_SECONDS)
