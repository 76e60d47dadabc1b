"""The languages of tenants: their settings, and cached lookups for storing and searching."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from cachetools import TTLCache

from deployments.analysis.languages import Language
from deployments.analysis.policy import LanguagePolicy
from deployments.analysis.terms import Languages
from deployments.schemas.languages import OwnLanguage, TenantLanguage
from deployments.settings import SearchSettings
from deployments.storage.postgres.database import Connection, Connections, Database
from deployments.storage.postgres.named_queries import load_queries

# How long a replica may use a cached language after a change.
TTL_SECONDS = 1.0
REMEMBERED_TENANTS = 100_000


class QueryLanguages(Protocol):
    """Provides the languages in which a tenant's queries are analysed."""

    async def of(self, tenant_id: str) -> Languages:
        """Return the tenant's language, then those in which some of its messages are still analysed."""
        ...


class Known(NamedTuple):
    """A tenant's language policy. `former`: languages in which some of its messages may still be analysed.

    `tag`: the tag with which its messages are stored. None if the database has another default policy than this
    replica, because another release or other settings took over: messages stored now are then analysed once more.
    """

    policy: LanguagePolicy
    own: bool
    former: tuple[Language, ...]
    reanalyzing: bool
    tag: str | None


def default_languages(settings: SearchSettings) -> LanguagePolicy:
    """Return the policy of tenants without their own language."""
    return LanguagePolicy(settings.language, settings.detect_language)


class TenantLanguages:
    """Looks up languages, with a cache of one second. Errors: `DatabaseUnavailableError`, `OverloadedError`."""

    def __init__(self, database: Connections, default: LanguagePolicy) -> None:
        self._database = database
        self._default = default
        self._queries = load_queries("tenant_languages")
        self._remembered: TTLCache[str, Known] = TTLCache(REMEMBERED_TENANTS, TTL_SECONDS)

    async def of(self, tenant_id: str) -> Languages:
        """Return the languages in which a tenant's queries are analysed."""
        known = (await self.look_up([tenant_id]))[tenant_id]
        return tuple(dict.fromkeys((known.policy.language, *known.former)))

    async def look_up(self, tenant_ids: Iterable[str], connection: Connection | None = None) -> Mapping[str, Known]:
        """Return the policy of each tenant. `connection`: one that the caller already holds."""
        found = {tenant_id: self._remembered.get(tenant_id) for tenant_id in tenant_ids}
        missing = [tenant_id for tenant_id, known in found.items() if known is None]
        loaded: dict[str, Known] = {}
        if missing and connection is not None:
            loaded = await self.load(connection, missing)
        elif missing:
            async with self._database.connection() as lent:
                loaded = await self.load(lent, missing)
        self._remembered.update(loaded)
        return {tenant_id: known or loaded[tenant_id] for tenant_id, known in found.items()}

    async def load(self, connection: Connection, tenant_ids: Sequence[str]) -> dict[str, Known]:
        """Return the policies from the database, without the cache."""
        rows = self._queries.languages_of(connection, tenant_ids=tenant_ids)
        return {row["tenant_id"]: self._to_known(row) async for row in rows}

    def _to_known(self, row: Mapping[str, Any]) -> Known:
        own = row["language"] is not None
        policy = LanguagePolicy(row["language"], row["detect"]) if own else self._default
        current = row["policy"] in {None, self._default.tag}
        return Known(policy, own, tuple(row["former"]), row["reanalyzing"], policy.tag if current else None)


class LanguageRepository:
    """Sets the languages of tenants. Errors of every method: `DatabaseUnavailableError`, `OverloadedError`."""

    def __init__(self, database: Database, default: LanguagePolicy) -> None:
        self._database = database
        self._default = default
        self._languages = TenantLanguages(database, default)
        self._queries = load_queries("tenant_languages")
        self._reanalyses = load_queries("reanalyses")

    async def get(self, tenant_id: str) -> TenantLanguage:
        """Return the language that applies to a tenant, even to an unknown one."""
        async with self._database.connection() as connection:
            known = (await self._languages.load(connection, [tenant_id]))[tenant_id]
        return _described(tenant_id, known)

    async def put(self, tenant_id: str, own: OwnLanguage) -> TenantLanguage:
        """Set a tenant's language. Its messages are re-analysed in the background."""
        return await self._change(tenant_id, LanguagePolicy(own.language, own.detect))

    async def delete(self, tenant_id: str) -> None:
        """Delete a tenant's own language, if any, so that the settings apply again."""
        await self._change(tenant_id, None)

    async def _change(self, tenant_id: str, own: LanguagePolicy | None) -> TenantLanguage:
        async with self._database.transaction() as connection:
            await self._queries.lock_languages(connection, tenant_id=tenant_id)
            before = (await self._languages.load(connection, [tenant_id]))[tenant_id].policy
            if own is None:
                await self._queries.delete_language(connection, tenant_id=tenant_id)
            else:
                await self._queries.put_language(
                    connection, tenant_id=tenant_id, language=own.language, detect=own.detect
                )
            if (own or self._default) != before:
                await self._reanalyses.request_reanalysis(connection, tenant_id=tenant_id, former=before.language)
            return _described(tenant_id, (await self._languages.load(connection, [tenant_id]))[tenant_id])


def _described(tenant_id: str, known: Known) -> TenantLanguage:
    return TenantLanguage(
        tenant_id=tenant_id,
        language=known.policy.language,
        detect=known.policy.detect,
        reanalyzing=known.reanalyzing,
        default=not known.own,
    )
