"""Runs all checks, one after the other, so that they add little load."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from deployments.connection_urls import http_url
from deployments.embedding_space import space_source
from deployments.errors import DatabaseUnavailableError
from deployments.settings import Settings
from deployments.storage.inspection import CONNECT_SECONDS, Inspection, explained, inspecting
from deployments.storage.postgres.embedded import running_url
from jobs.doctor import cluster, database, installation, provider, redis, reranker, serve_config, service
from jobs.doctor.checking import CHECK_SECONDS, Look, made
from jobs.doctor.clock import judge_clock
from jobs.doctor.embedded import judge_embedded
from jobs.doctor.findings import Finding, Outcome, problem, skipped
from jobs.doctor.pools import Plans, judge_pools
from jobs.doctor.settings import together, valid

PROVIDER_SECONDS = 30.0
IMPORTING_SECONDS = 60.0
# The connection attempt has its own timeout, whose error says more.
CONNECTING_SECONDS = CONNECT_SECONDS + CHECK_SECONDS
DATABASE = "database"
Json = dict[str, Any]
T = TypeVar("T")

LookAtDatabase = Callable[[Inspection, Settings], Awaitable[list[Finding]]]
DATABASE_CHECKS: Mapping[str, LookAtDatabase] = {
    "database.server": database.server,
    "database.durability": database.durability,
    "database.extension": database.extension,
    "database.rights": database.rights,
}
# These read our tables: without the schema they would all report the same error.
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
    """Options of an examination. `config`, `dashboard`, `url`: None skips its checks. `provider`: call the provider."""

    config: Path | None
    dashboard: str | None
    url: str | None
    provider: bool
    environment: Mapping[str, str]


async def examine(asked: Asked) -> list[Finding]:
    """Return the findings of every check, in order of dependency."""
    findings = await made(installation.CHECK, partial(asyncio.to_thread, installation.look))
    findings += await made("settings", _as_async(lambda: valid(asked.environment)))
    settings, _ = await _obtained("settings", _settings)
    config, unread = await _obtained(serve_config.CHECK, partial(_read, asked.config))
    details, untold = await _obtained(cluster.CHECK, partial(_ask_serve, asked.dashboard))
    findings += unread
    if config is not None:
        judged = partial(asyncio.to_thread, serve_config.judge_config, config, settings)
        findings += await made(serve_config.CHECK, judged, IMPORTING_SECONDS)
    if settings is None:
        findings.append(skipped(DATABASE, "Nothing else can be looked at before the settings are right."))
    else:
        findings += await made("settings.together", _as_async(lambda: together(settings)))
        findings += await _database(settings, Plans(config, details), ask_provider=asked.provider)
        findings += await _reranker(settings, asked=asked.provider)
        findings += await _redis(settings)
    findings += untold
    if details is not None and asked.dashboard is not None:
        judge = partial(cluster.judge_cluster, details, asked.dashboard, asked.config)
        findings += await made(cluster.CHECK, _as_async(judge))
    findings += await _service(asked.url)
    return findings


def _as_async(look: Callable[[], list[Finding]]) -> Look:
    async def find() -> list[Finding]:
        return look()

    return find


async def _settings() -> Settings | Finding:
    return Settings.load()


async def _obtained(
    check: str, obtain: Callable[[], Awaitable[T | Finding]], seconds: float = CHECK_SECONDS
) -> tuple[T | None, list[Finding]]:
    """Return an object that later checks need, or a finding that says why it is unavailable."""
    obtained: list[T] = []

    async def look() -> list[Finding]:
        found = await obtain()
        if isinstance(found, Finding):
            return [found]
        obtained.append(found)
        return []

    trouble = await made(check, look, seconds)
    return (obtained[0] if obtained else None), trouble


async def _read(path: Path | None) -> Json | Finding:
    if path is None:
        return skipped(serve_config.CHECK, "Name the Serve config with --config to have it read.")
    return serve_config.read_config(path)


async def _ask_serve(address: str | None) -> Json | Finding:
    if address is None:
        return skipped(cluster.CHECK, "Name Ray's dashboard with --dashboard to have Serve asked.")
    try:
        http_url(address)
    except ValueError as error:
        return problem(cluster.CHECK, f"RAY_DASHBOARD_ADDRESS {error}.", "Set it right, or use --dashboard.")
    return await cluster.serve_details(address)


async def _service(url: str | None) -> list[Finding]:
    if url is None:
        return [skipped(service.CHECK, "Name the service with --url to have it asked.")]
    return await made(service.CHECK, partial(service.answers, url), 2 * service.TIMEOUT_SECONDS)


async def _reranker(settings: Settings, *, asked: bool) -> list[Finding]:
    url = settings.rerank.url
    if url is None:
        return [skipped(reranker.CHECK, "MEMORY_RERANK_URL is not set: the ranking decides on the order.")]
    if not asked:
        return [skipped(reranker.CHECK, "It was not to be asked (--no-provider).")]
    return await made(reranker.CHECK, partial(reranker.scores, url, settings.rerank), PROVIDER_SECONDS)


async def _redis(settings: Settings) -> list[Finding]:
    url = settings.rate_limits.redis_url
    if url is None:
        return [skipped(redis.CHECK, "MEMORY_REDIS_URL is not set: the cluster counts by itself.")]
    return await made(redis.CHECK, partial(redis.counts, url.get_secret_value()))


async def _database(settings: Settings, plans: Plans, *, ask_provider: bool) -> list[Finding]:
    findings = await made("database.read", partial(_read_database, settings), CONNECTING_SECONDS)
    if settings.database.url is None:
        findings += await made("database.embedded", _as_async(lambda: judge_embedded(settings.runtime.data_dir)))
    async with AsyncExitStack() as stack:
        inspection, unreached = await _obtained(DATABASE, partial(_opened, stack, settings), CONNECTING_SECONDS)
        if inspection is not None:
            return [*findings, *await _inspected(inspection, settings, plans, ask_provider=ask_provider)]
    return [*findings, *unreached, *await _provider(None, settings, asked=ask_provider)]


async def _opened(stack: AsyncExitStack, settings: Settings) -> Inspection | Finding:
    own = settings.database.url
    url = running_url(settings.runtime.data_dir) if own is None else own.get_secret_value()
    if url is None:
        return skipped(DATABASE, "It does not run: nothing in it was looked at.")
    try:
        return await stack.enter_async_context(inspecting(url, settings.database))
    except DatabaseUnavailableError as error:
        return problem(DATABASE, error.message, "Start it, or set MEMORY_DATABASE_URL right.")


async def _inspected(inspection: Inspection, settings: Settings, plans: Plans, *, ask_provider: bool) -> list[Finding]:
    findings: list[Finding] = []
    for check, look in DATABASE_CHECKS.items():
        findings += await made(check, _with_explained_errors(partial(look, inspection, settings)))
    findings += await made("clock", _with_explained_errors(partial(_clock, inspection)))
    findings += await made("connections", _with_explained_errors(partial(_connections, inspection, settings, plans)))
    schema = await made("database.schema", _with_explained_errors(partial(database.schema, inspection, settings)))
    findings += schema
    if any(each.outcome is not Outcome.OK for each in schema):
        findings.append(skipped("database.tables", "They were not looked at: see database.schema."))
        return [*findings, *await _provider(None, settings, asked=ask_provider)]
    for check, look in SCHEMA_CHECKS.items():
        findings += await made(check, _with_explained_errors(partial(look, inspection, settings)))
    return [*findings, *await _provider(inspection, settings, asked=ask_provider)]


def _with_explained_errors(look: Look) -> Look:
    async def find() -> list[Finding]:
        with explained():
            return await look()

    return find


async def _clock(inspection: Inspection) -> list[Finding]:
    began = datetime.now(UTC)
    theirs = (await inspection.server()).clock
    return [judge_clock("Postgres", theirs, began + (datetime.now(UTC) - began) / 2)]


async def _connections(inspection: Inspection, settings: Settings, plans: Plans) -> list[Finding]:
    limits = await inspection.connection_limits()
    return [finding for plan in plans.all() for finding in judge_pools(plan, settings, limits)]


async def _read_database(settings: Settings) -> list[Finding]:
    """Check the database that searches read: that it is reachable and has our schema."""
    check, url = "database.read", settings.database.read_url
    if url is None:
        return []
    try:
        async with inspecting(url.get_secret_value(), settings.database) as inspection:
            with explained():
                return [replace(each, check=check) for each in await database.schema(inspection, settings)]
    except DatabaseUnavailableError as error:
        return [problem(check, error.message, "Start it, or set MEMORY_DATABASE_READ_URL right.")]


async def _provider(inspection: Inspection | None, settings: Settings, *, asked: bool) -> list[Finding]:
    """Check the provider of the active space if the database names one, else that of the settings."""
    if not asked:
        return [skipped(provider.CHECK, "It was not to be asked (--no-provider).")]

    async def look() -> list[Finding]:
        with explained():
            spaces = None if inspection is None else await inspection.spaces()
        return await provider.embeds(settings, space_source(settings) if spaces is None else spaces.active)

    return await made(provider.CHECK, look, PROVIDER_SECONDS)
