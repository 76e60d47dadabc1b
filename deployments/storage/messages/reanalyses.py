"""Messages whose terms are made anew: which tenants', by whom, and how far it is."""

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

# Longer than a replica goes by the language of before, and what it was storing then takes to be committed.
SETTLING_SECONDS = 5 * TTL_SECONDS
# Messages in one transaction, and about how many terms: it holds the locks of their terms' counts for so long.
BATCH = 200
MOST_TERMS = 20_000
# After a pass that left messages which others held or changed, before the next.
PAUSE_SECONDS = 1.0


@dataclass(frozen=True)
class Claim:
    """A tenant that is this worker's to analyse anew, and the last message that was, as (time, id)."""

    id: UUID
    tenant_id: str
    reached: tuple[datetime, UUID] | None


class Stale(NamedTuple):
    """A message with terms of another policy. `updated_at` changes whenever the message does."""

    id: UUID
    said: Said
    updated_at: datetime


class StaleBatch(NamedTuple):
    """Messages to analyse anew, oldest first, and the policy to do it by."""

    messages: list[Stale]
    policy: LanguagePolicy


class ReanalysisRepository:
    """Errors of every method: `DatabaseUnavailableError`, `OverloadedError`."""

    def __init__(self, database: Database, default: LanguagePolicy) -> None:
        """`default`: the policy of tenants without a language of their own."""
        self._database = database
        self._default = default
        self._languages = TenantLanguages(database, default)
        self._queries = load_queries("reanalyses")

    async def adopt_policy(self) -> None:
        """Have the default policy hold in the database. All tenants are analysed anew where another did before."""
        async with self._database.transaction() as connection:
            before = await self._queries.lock_policy(connection)
            if before == self._default.tag:
                return
            await self._queries.put_policy_tag(connection, policy=self._default.tag)
            if before is not None:
                await self._queries.request_reanalysis(connection, tenant_id=None, former=language_of(before))

    async def request_unanalyzed(self) -> None:
        """Have those tenants analysed anew that have messages of an older release."""
        async with self._database.connection() as connection:
            await self._queries.request_unanalyzed(connection)

    async def request_stale(self, tenant_ids: Sequence[str]) -> None:
        """Have tenants analysed anew."""
        async with self._database.connection() as connection:
            await self._queries.request_stale(connection, tenant_ids=tenant_ids)

    async def count_stale(self, tenant_id: str | None = None) -> dict[str, int]:
        """Return how many messages have terms of another policy, of each tenant that has any. Reads all messages."""
        async with self._database.connection() as connection:
            rows = self._queries.tenants_with_messages(connection, tenant_id=tenant_id)
            known = await self._languages.load(connection, [row["tenant_id"] async for row in rows])
            counts = {
                each: int(await self._queries.count_stale(connection, tenant_id=each, tag=there.policy.tag))
                for each, there in known.items()
            }
        return {each: count for each, count in counts.items() if count}

    async def is_under_way(self, tenant_id: str | None = None) -> bool:
        """Return whether a tenant is still to be analysed anew; None: any tenant."""
        async with self._database.connection() as connection:
            return bool(await self._queries.is_reanalyzing(connection, tenant_id=tenant_id))

    async def claim(
        self, claim_id: UUID, lease_seconds: float, settling_seconds: float, tenant_id: str | None = None
    ) -> Claim | None:
        """Take a tenant whose re-analysis was requested so long ago, or None. What a dead worker held is taken too."""
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
        """Read the next messages behind what was reached; none at the end."""
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
        """Write terms, in one transaction with how far it is. Returns how many; None if the claim is lost.

        What was changed since it was read, or is held by another, is left for the next pass.
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
        """End a pass. Returns whether the tenant is done; else another pass is to follow."""
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
