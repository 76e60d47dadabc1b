"""Re-analysis of messages: the requested tenants, their claims and their progress."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from deployments.analysis.policy import LanguagePolicy, language_of
from deployments.storage.messages.analysis import Said
from deployments.storage.postgres.database import Connection, Database
from deployments.storage.postgres.named_queries import load_queries
from deployments.storage.postgres.zones import zoned
from deployments.storage.tenants.languages import TTL_SECONDS, TenantLanguages

# Longer than a replica caches the old language, plus the commit of what it stores by that language.
SETTLING_SECONDS = 5 * TTL_SECONDS
# Messages, and about how many terms, in one transaction, which locks the counts of their terms.
BATCH = 200
MOST_TERMS = 20_000
# The pause before the next pass, if a pass skipped messages that others locked or changed.
PAUSE_SECONDS = 1.0


@dataclass(frozen=True)
class Claim:
    """A tenant claimed for re-analysis, and its last re-analysed message as (time, id)."""

    id: UUID
    tenant_id: str
    reached: tuple[datetime, UUID] | None


class Stale(NamedTuple):
    """A message with terms of another policy. `updated_at` changes with the message."""

    id: UUID
    said: Said
    updated_at: datetime


class StaleBatch(NamedTuple):
    """Messages to re-analyse, oldest first, and the policy to use."""

    messages: list[Stale]
    policy: LanguagePolicy


class ReanalysisRepository:
    """Stores re-analyses. Errors of every method: `DatabaseUnavailableError`, `OverloadedError`."""

    def __init__(self, database: Database, default: LanguagePolicy) -> None:
        """`default`: the policy of tenants without their own language."""
        self._database = database
        self._default = default
        self._languages = TenantLanguages(database, default)
        self._queries = load_queries("reanalyses")

    async def adopt_policy(self) -> None:
        """Store the default policy in the database. If it differs from the stored one, request all tenants."""
        async with self._database.transaction() as connection:
            before = await self._queries.lock_policy(connection)
            if before == self._default.tag:
                return
            await self._queries.put_policy_tag(connection, policy=self._default.tag)
            if before is not None:
                await self._queries.request_reanalysis(connection, tenant_id=None, former=language_of(before))

    async def request_unanalyzed(self) -> None:
        """Request the re-analysis of tenants that have messages of an older release."""
        async with self._database.connection() as connection:
            await self._queries.request_unanalyzed(connection)

    async def request_stale(self, tenant_ids: Sequence[str]) -> None:
        """Request the re-analysis of tenants."""
        async with self._database.connection() as connection:
            await self._queries.request_stale(connection, tenant_ids=tenant_ids)

    async def count_stale(self, tenant_id: str | None = None) -> dict[str, int]:
        """Return the number of messages with terms of another policy by tenant, without zeros. Reads all messages."""
        async with self._database.connection() as connection:
            rows = self._queries.tenants_with_messages(connection, tenant_id=tenant_id)
            known = await self._languages.load(connection, [row["tenant_id"] async for row in rows])
            counts = {
                each: int(await self._queries.count_stale(connection, tenant_id=each, tag=there.policy.tag))
                for each, there in known.items()
            }
        return {each: count for each, count in counts.items() if count}

    async def is_under_way(self, tenant_id: str | None = None) -> bool:
        """Return whether the re-analysis of a tenant is unfinished; None: of any tenant."""
        async with self._database.connection() as connection:
            return bool(await self._queries.is_reanalyzing(connection, tenant_id=tenant_id))

    async def claim(
        self, claim_id: UUID, lease_seconds: float, settling_seconds: float, tenant_id: str | None = None
    ) -> Claim | None:
        """Claim an unleased tenant that was requested at least `settling_seconds` ago; None if there is none."""
        async with self._database.connection() as connection:
            row = await self._queries.claim_reanalysis(
                connection,
                claim_id=claim_id,
                lease_seconds=lease_seconds,
                settling_seconds=settling_seconds,
                tenant_id=tenant_id,
                policy=self._default.tag,
            )
        if row is None:
            return None
        reached = None if row["reached_at"] is None else (row["reached_at"], row["reached_id"])
        return Claim(claim_id, row["tenant_id"], reached)

    async def next_batch(self, claim: Claim) -> StaleBatch:
        """Return the next messages after the claim's position; empty at the end."""
        async with self._database.connection() as connection:
            policy = await self._policy(connection, claim.tenant_id)
            after, after_id = claim.reached or (None, None)
            rows = self._queries.read_stale(
                connection,
                tenant_id=claim.tenant_id,
                tag=policy.tag,
                after=after,
                after_id=after_id,
                limit=BATCH,
                most_terms=MOST_TERMS,
            )
            return StaleBatch([_to_stale(zoned(row)) async for row in rows], policy)

    async def write(self, claim: Claim, batch: StaleBatch, terms: Sequence[str], lease_seconds: float) -> int | None:
        """Store terms and the progress in one transaction. Return how many were stored; None if the claim is lost.

        Messages that were changed since they were read, or are locked, are left for the next pass.
        """
        last = batch.messages[-1]
        async with self._database.transaction() as connection:
            noted = await self._queries.note_reached(
                connection,
                tenant_id=claim.tenant_id,
                claim_id=claim.id,
                reached_at=last.said.created_at,
                reached_id=last.id,
                lease_seconds=lease_seconds,
            )
            if noted is None:
                return None
            rewritten = await self._queries.rewrite_terms(
                connection,
                tenant_id=claim.tenant_id,
                tag=batch.policy.tag,
                ids=[each.id for each in batch.messages],
                updated_ats=[each.updated_at for each in batch.messages],
                terms=list(terms),
            )
        return int(rewritten)

    async def end(self, claim: Claim, policy: LanguagePolicy) -> bool:
        """End a pass. Return whether the tenant is done, or else needs another pass."""
        async with self._database.connection() as connection:
            return bool(
                await self._queries.end_reanalysis(
                    connection,
                    tenant_id=claim.tenant_id,
                    claim_id=claim.id,
                    tag=policy.tag,
                    pause_seconds=PAUSE_SECONDS,
                )
            )

    async def _policy(self, connection: Connection, tenant_id: str) -> LanguagePolicy:
        return (await self._languages.load(connection, [tenant_id]))[tenant_id].policy


def _to_stale(row: Mapping[str, Any]) -> Stale:
    return Stale(row["id"], Said(**{name: row[name] for name in Said._fields}), row["updated_at"])
