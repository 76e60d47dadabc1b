"""All checks, one after the other: what is looked at is not to notice it."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from deployments.connections import configured_replicas, most_replicas
from deployments.embedding.providers.registry import space_source
from deployments.errors import DatabaseUnavailableError, MemoryLayerError
from deployments.settings import Settings
from deployments.storage.embedded import running_url
from deployments.storage.inspection import Inspection, inspecting
from jobs.doctor import cluster, database, provider, redis, serve_config, service
from jobs.doctor.checking import made
from jobs.doctor.clock import judge_clock
from jobs.doctor.embedded import judge_embedded
from jobs.doctor.findings import Finding, Outcome, problem, skipped, worst
from jobs.doctor.pools import judge_pools
from jobs.doctor.settings import together, valid

PROVIDER_SECONDS = 30.0
IMPORTING_SECONDS = 60.0
DATABASE = "database"

NO_CONFIG = skipped(serve_config.CHECK, "Name the Serve config with --config to have it read.")

LookAtDatabase = Callable[[Inspection, Settings], Awaitable[list[Finding]]]
DATABASE_CHECKS: Mapping[str, LookAtDatabase] = {
    "database.server": database.server,
    "database.durability": database.durability,
    "database.extension": database.extension,
}
# Of tables of ours: where the schema is not, they would all say the same.
SCHEMA_CHECKS: Mapping[str, LookAtDatabase] = {
    "database.language": database.language,
    "database.indexes": database.indexes,
    "database.embedding_space": database.embedding_space,
    "database.statistics": database.statistics,
    "database.transactions": database.transactions,
    "embeddings.backlog": database.backlog,
    "keys": database.keys,
}


@dataclass(frozen=True)
class Asked:
    """What is to be looked at. `config`, `dashboard`, `url`: None: not. `provider`: whether it may be asked."""

    config: Path | None
    dashboard: str | None
    url: str | None
    provider: bool
    environment: Mapping[str, str]


async def examine(asked: Asked) -> list[Finding]:
    """Every check's findings, in the order in which things depend on each other."""
    findings = await made("settings", _soon(lambda: valid(asked.environment)))
    settings = _settings()
    config = serve_config.read_config(asked.config) if asked.config else NO_CONFIG
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
    if details is not None and not isinstance(details, Finding) and (running := cluster.application_in(details)):
        name, application = running
        found.append(_Pools("the running cluster", application["deployed_app_config"], most_replicas(details, name)))
    return found


async def _database(settings: Settings, pools: list[_Pools], *, ask_provider: bool) -> list[Finding]:
    findings = []
    own = settings.database.url
    if own is None:
        findings += await made("database.embedded", _soon(lambda: judge_embedded(settings.runtime.data_dir)))
    url = running_url(settings.runtime.data_dir) if own is None else own.get_secret_value()
    if url is None:
        findings.append(skipped(DATABASE, "It does not run: nothing in it was looked at."))
        return [*findings, *await _provider(None, settings, asked=ask_provider)]
    try:
        async with inspecting(url, settings.database) as inspection:
            return [*findings, *await _inspected(inspection, settings, pools, ask_provider=ask_provider)]
    except DatabaseUnavailableError as error:
        findings.append(problem(DATABASE, error.message, "Start it, or set MEMORY_DATABASE_URL right."))
        return [*findings, *await _provider(None, settings, asked=ask_provider)]


async def _inspected(
    inspection: Inspection, settings: Settings, pools: list[_Pools], *, ask_provider: bool
) -> list[Finding]:
    findings: list[Finding] = []
    for check, look in DATABASE_CHECKS.items():
        findings += await made(check, partial(look, inspection, settings))
    findings += await made("clock", partial(_clock, inspection))
    for pool in pools:
        findings += await made("connections", partial(_connections, inspection, settings, pool))
    schema = await made("database.schema", partial(database.schema, inspection, settings))
    findings += schema
    if worst(schema) is not Outcome.OK:
        findings.append(skipped("database.tables", "They were not looked at: their schema is another one."))
        return [*findings, *await _provider(None, settings, asked=ask_provider)]
    for check, look in SCHEMA_CHECKS.items():
        findings += await made(check, partial(look, inspection, settings))
    return [*findings, *await _provider(inspection, settings, asked=ask_provider)]


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


async def _provider(inspection: Inspection | None, settings: Settings, *, asked: bool) -> list[Finding]:
    """Of the active space, where the database can say which that is; else of the settings."""
    if not asked:
        return [skipped(provider.CHECK, "It was not to be asked (--no-provider).")]

    async def look() -> list[Finding]:
        spaces = None if inspection is None else await inspection.spaces()
        return await provider.embeds(settings, space_source(settings) if spaces is None else spaces.active)

    return await made(provider.CHECK, look, PROVIDER_SECONDS)
