"""All checks, one after the other: what is looked at is not to notice it."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from deployments.embedding.providers.registry import space_source
from deployments.errors import DatabaseUnavailableError, MemoryLayerError
from deployments.settings import Settings
from deployments.storage.embedded import running_url
from deployments.storage.inspection import Inspection, inspecting
from jobs.doctor import cluster, database, provider, redis, serve_config, service
from jobs.doctor.checking import Look, made
from jobs.doctor.clock import judge_clock
from jobs.doctor.embedded import judge_embedded
from jobs.doctor.findings import Finding, Outcome, problem, skipped, worst
from jobs.doctor.pools import Plans, judge_pools
from jobs.doctor.settings import together, valid

PROVIDER_SECONDS = 30.0
IMPORTING_SECONDS = 60.0
DATABASE = "database"
Json = dict[str, Any]

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
    config, unread = await _obtained(serve_config.CHECK, partial(_read, asked.config))
    details, untold = await _obtained(cluster.CHECK, partial(_ask_serve, asked.dashboard))
    findings += unread
    if config is not None:
        judged = partial(asyncio.to_thread, serve_config.judge_config, config, settings)
        findings += await made(serve_config.CHECK, judged, IMPORTING_SECONDS)
    if settings is None:
        findings.append(skipped(DATABASE, "Nothing else can be looked at before the settings are right."))
    else:
        findings += await made("settings.together", _soon(lambda: together(settings)))
        findings += await _database(settings, Plans(config, details), ask_provider=asked.provider)
        findings += await _redis(settings)
    findings += untold
    if details is not None:
        findings += await made(cluster.CHECK, _soon(lambda: cluster.judge_cluster(details)))
    findings += await _service(asked.url)
    return findings


def _soon(look: Callable[[], list[Finding]]) -> Look:
    async def find() -> list[Finding]:
        return look()

    return find


def _settings() -> Settings | None:
    try:
        return Settings.load()
    except MemoryLayerError:
        return None


async def _obtained(check: str, obtain: Callable[[], Awaitable[Json | Finding]]) -> tuple[Json | None, list[Finding]]:
    """Something that is looked at later, or why it is not there."""
    obtained: list[Json] = []

    async def look() -> list[Finding]:
        found = await obtain()
        if isinstance(found, Finding):
            return [found]
        obtained.append(found)
        return []

    trouble = await made(check, look)
    return (obtained[0] if obtained else None), trouble


async def _read(path: Path | None) -> Json | Finding:
    if path is None:
        return skipped(serve_config.CHECK, "Name the Serve config with --config to have it read.")
    return serve_config.read_config(path)


async def _ask_serve(address: str | None) -> Json | Finding:
    if address is None:
        return skipped(cluster.CHECK, "Name Ray's dashboard with --dashboard to have Serve asked.")
    return await cluster.serve_details(address)


async def _service(url: str | None) -> list[Finding]:
    if url is None:
        return [skipped(service.CHECK, "Name the service with --url to have it asked.")]
    return await made(service.CHECK, partial(service.answers, url), 2 * service.TIMEOUT_SECONDS)


async def _redis(settings: Settings) -> list[Finding]:
    url = settings.rate_limits.redis_url
    if url is None:
        return [skipped(redis.CHECK, "MEMORY_REDIS_URL is not set: the cluster counts by itself.")]
    return await made(redis.CHECK, partial(redis.counts, url.get_secret_value()))


async def _database(settings: Settings, plans: Plans, *, ask_provider: bool) -> list[Finding]:
    findings = await made("database.read", partial(_read_database, settings))
    own = settings.database.url
    if own is None:
        findings += await made("database.embedded", _soon(lambda: judge_embedded(settings.runtime.data_dir)))
    url = running_url(settings.runtime.data_dir) if own is None else own.get_secret_value()
    if url is None:
        findings.append(skipped(DATABASE, "It does not run: nothing in it was looked at."))
        return [*findings, *await _provider(None, settings, asked=ask_provider)]
    try:
        async with inspecting(url, settings.database) as inspection:
            return [*findings, *await _inspected(inspection, settings, plans, ask_provider=ask_provider)]
    except DatabaseUnavailableError as error:
        findings.append(problem(DATABASE, error.message, "Start it, or set MEMORY_DATABASE_URL right."))
        return [*findings, *await _provider(None, settings, asked=ask_provider)]


async def _inspected(inspection: Inspection, settings: Settings, plans: Plans, *, ask_provider: bool) -> list[Finding]:
    findings: list[Finding] = []
    for check, look in DATABASE_CHECKS.items():
        findings += await made(check, partial(look, inspection, settings))
    findings += await made("clock", partial(_clock, inspection))
    findings += await made("connections", partial(_connections, inspection, settings, plans))
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


async def _connections(inspection: Inspection, settings: Settings, plans: Plans) -> list[Finding]:
    limits = await inspection.connection_limits()
    return [finding for plan in plans.all() for finding in judge_pools(plan, settings, limits)]


async def _read_database(settings: Settings) -> list[Finding]:
    """The one that searches read: it is reached, and of our schema."""
    url = settings.database.read_url
    if url is None:
        return []
    async with inspecting(url.get_secret_value(), settings.database) as inspection:
        return [replace(each, check="database.read") for each in await database.schema(inspection, settings)]


async def _provider(inspection: Inspection | None, settings: Settings, *, asked: bool) -> list[Finding]:
    """Of the active space, where the database can say which that is; else of the settings."""
    if not asked:
        return [skipped(provider.CHECK, "It was not to be asked (--no-provider).")]

    async def look() -> list[Finding]:
        spaces = None if inspection is None else await inspection.spaces()
        return await provider.embeds(settings, space_source(settings) if spaces is None else spaces.active)

    return await made(provider.CHECK, look, PROVIDER_SECONDS)
