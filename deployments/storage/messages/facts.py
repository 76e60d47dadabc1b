"""Storage of facts: rows of `messages` with their own kind, and their source messages."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from deployments.errors import IdTakenError, InvalidRequestError, MemoryLayerError, NotFoundError, OverloadedError
from deployments.schemas.facts import Fact, FactChange, FactListing, Kind
from deployments.schemas.messages import MessageChange
from deployments.storage.messages.analysis import Analysis, MessageAnalyzer
from deployments.storage.messages.earlier_facts import EarlierFacts, Outcomes
from deployments.storage.messages.fact_drafts import (
    FactDraft,
    Held,
    Known,
    check_named,
    in_lock_order,
    refusal,
    said,
    since,
    store_parameters,
)
from deployments.storage.messages.idempotency_keys import IdempotencyKeys, Record, StoreKey, deleted_since
from deployments.storage.messages.preconditions import Precondition
from deployments.storage.messages.repository import TRIES, MessageRepository, Position, StoreCounts
from deployments.storage.messages.rows import to_fact
from deployments.storage.postgres.database import Connection, Database
from deployments.storage.postgres.named_queries import load_queries
from deployments.storage.postgres.zones import at_offset
from deployments.storage.tenants.usage import QuotaGate
from deployments.tenancy import ALL, Visible

# Fields that a fact shares with messages, and their names there.
OF_MESSAGES = {
    "content": "content",
    "subject": "name",
    "metadata": "metadata",
    "importance_override": "importance_override",
    "language": "language",
    "metadata_mode": "metadata_mode",
    "ttl_seconds": "ttl_seconds",
    "expires_at": "expires_at",
}
# Fields that only facts have, and the two that identify a fact.
COURSE = ("id", "tenant_id", "valid_from", "valid_to", "superseded_by", "superseded_at")


class FactRepository:
    """Stores, reads, changes and deletes facts. Every call is one transaction.

    `seen`: whose facts the caller may see. Errors of every method: `DatabaseUnavailableError`, `OverloadedError`; of
    those that store or change, with a gate, also `MessageQuotaError`, `ByteQuotaError` and `EmbeddingQuotaError`.
    """

    def __init__(
        self,
        database: Database,
        messages: MessageRepository,
        analyzer: MessageAnalyzer,
        gate: QuotaGate | None = None,
        counts: StoreCounts | None = None,
    ) -> None:
        """Without `gate` there are no quotas. `counts`: callbacks for metrics."""
        self._database = database
        self._messages = messages
        self._analyzer = analyzer
        self._gate = gate
        self._counts = counts or StoreCounts()
        self._facts = load_queries("facts")
        self._jobs = load_queries("embedding_jobs")
        self._earlier = EarlierFacts()
        self._keys = IdempotencyKeys()

    async def store(self, drafts: Sequence[FactDraft], key: StoreKey | None = None) -> list[Fact | MemoryLayerError]:
        """Store facts. Return a fact or an error for each draft, in order.

        `InvalidRequestError`: a source or a superseded fact does not exist. A fact that already exists under the id or
        `external_id` is returned unchanged if it equals the draft; else `IdTakenError`, `ExternalIdConflictError`.

        A fact that was stored under the key before is returned, or `IdempotencyConflictError` if it was deleted since.
        That error is raised if the key was used with another body.
        """
        try:
            return await self._store(drafts, key)
        except InvalidRequestError as error:
            if len(drafts) == 1:
                return [error]
            return [result for each in drafts for result in await self.store([each], key)]

    async def get(self, fact_id: UUID, seen: Visible = ALL) -> Fact:
        """Return one fact. Raises `NotFoundError`."""
        async with self._database.connection() as connection:
            return await self._get(connection, fact_id, seen)

    async def page(self, listing: FactListing, after: Position | None) -> list[Fact]:
        """Return a page of facts, newest first, after the position `after`, and one more if there are more."""
        async with self._database.connection() as connection:
            rows = self._facts.list_facts(
                connection,
                **listing.model_dump(exclude={"limit", "cursor"}),
                before=after and after.created_at,
                before_id=after and after.id,
                limit=listing.limit + 1,
            )
            return [to_fact(row) async for row in rows]

    async def change(
        self,
        fact_id: UUID,
        change: FactChange,
        request_id: str | None,
        seen: Visible = ALL,
        precondition: Precondition | None = None,
    ) -> Fact:
        """Change a fact. New content is embedded and scored again. A change without effect writes nothing.

        Raises `NotFoundError`, `PreconditionFailedError`, and `InvalidRequestError` if sources or facts do not
        exist, or if the fact would supersede itself or end before it begins.
        """
        async with self._database.transaction() as connection:
            owner = (await self._get(connection, fact_id, seen)).tenant_id
            seen = Visible(owner, seen.user_id)
            given = change.model_dump(exclude_unset=True)
            # Lock the references before the fact: the deletion of a source locks in the same order.
            known = await self._lock_change_references(connection, given, seen)
            before = await self._lock(connection, fact_id, seen, precondition)
            words = {OF_MESSAGES[name]: value for name, value in given.items() if name in OF_MESSAGES}
            counted = False
            if words:
                worded = MessageChange.model_validate(words)
                row = await self._messages.change_within(connection, fact_id, worded, request_id, seen, kind=Kind.FACT)
                counted = row is not None and row["version"] > before["version"]
            if given.keys() - OF_MESSAGES:
                await self._change_course(connection, before, given, known, counted=counted)
            return await self._get(connection, fact_id, seen)

    async def delete(self, fact_id: UUID, seen: Visible = ALL, precondition: Precondition | None = None) -> None:
        """Delete a fact. Its sources stay, and the facts that it superseded become valid again.

        Raises `NotFoundError`, `PreconditionFailedError`.
        """
        await self._messages.delete(fact_id, seen, precondition, Kind.FACT)

    async def retry_embedding(self, fact_id: UUID, seen: Visible = ALL) -> Fact:
        """Retry the failed embedding of a fact. Raises `NotFoundError`."""
        await self.get(fact_id, seen)
        await self._messages.retry_embedding(seen, fact_id)
        return await self.get(fact_id, seen)

    async def _store(self, drafts: Sequence[FactDraft], key: StoreKey | None) -> list[Fact | MemoryLayerError]:
        now = datetime.now(UTC)
        analyzed = await self._analyzer.analyze([said(d, now) for d in drafts])
        analyses = {d.id: analysis for d, analysis in zip(drafts, analyzed, strict=True)}
        async with self._database.transaction() as connection:
            records = await self._keys.records(connection, (d.tenant_id for d in drafts), key) if key else {}
            outcomes = await self._stored_before(connection, drafts, records)
            fresh = [d for d in drafts if d.id not in outcomes]
            stored = 0
            if fresh:
                fresh_outcomes, stored = await self._store_fresh(connection, fresh, analyses, now)
                outcomes |= fresh_outcomes
            if key is not None:
                await self._note(connection, key, records, fresh, outcomes)
        self._counts.stored(stored)
        return [outcomes[d.id] for d in drafts]

    async def _stored_before(
        self, connection: Connection, drafts: Sequence[FactDraft], records: Mapping[str, Record]
    ) -> Outcomes:
        """Return the results of drafts that were stored under a key before."""
        earlier = {d.id: records[d.tenant_id][d.place] for d in drafts if d.place in records.get(d.tenant_id, ())}
        if not earlier:
            return {}
        facts = await self._earlier.read(connection, list(earlier.values()), Visible(user_id=drafts[0].only_user))
        return {draft_id: facts.get(fact_id, deleted_since()) for draft_id, fact_id in earlier.items()}

    async def _note(
        self,
        connection: Connection,
        key: StoreKey,
        records: Mapping[str, Record],
        drafts: Sequence[FactDraft],
        outcomes: Outcomes,
    ) -> None:
        """Record under a key the facts that were stored for each tenant."""
        for tenant_id, record in records.items():
            answers = {d.place: outcomes[d.id] for d in drafts if d.tenant_id == tenant_id}
            ids = {place: answer.id for place, answer in answers.items() if isinstance(answer, Fact)}
            await self._keys.note(connection, tenant_id, key, record, ids)

    async def _store_fresh(
        self, connection: Connection, drafts: Sequence[FactDraft], analyses: Mapping[UUID, Analysis], now: datetime
    ) -> tuple[Outcomes, int]:
        """Store the drafts that are not refused. Return the result of each, and how many were stored."""
        known = await self._lock_draft_references(connection, drafts)
        refusals = await self._refusals(connection, drafts, known, now)
        left = in_lock_order([d for d in drafts if d.id not in refusals])
        outcomes: Outcomes = {d.id: _not_stored(d) for d in drafts}
        stored: set[UUID] = set()
        for _ in range(TRIES):
            if not left:
                break
            stored |= await self._insert(connection, left, analyses, known, now)
            left = [d for d in left if d.id not in stored]
            there = await self._earlier.answers(connection, left)
            outcomes |= there
            # Expired facts in their place are deleted by now.
            left = [d for d in left if d.id not in there]
        # A retry gets its stored fact, even if a new store would now be refused.
        again = await self._earlier.answers(connection, [d for d in drafts if d.id in refusals])
        outcomes |= refusals | {each: answer for each, answer in again.items() if isinstance(answer, Fact)}
        return outcomes | await self._earlier.read(connection, list(stored), ALL), len(stored)

    async def _refusals(
        self, connection: Connection, drafts: Sequence[FactDraft], known: Known, now: datetime
    ) -> dict[UUID, MemoryLayerError]:
        """Return why facts are refused. Facts that already exist do not count against quotas."""
        refusals: dict[UUID, MemoryLayerError] = {
            d.id: refused for d in drafts if (refused := refusal(d.new, known, now)) is not None
        }
        sound = [d for d in drafts if d.id not in refusals]
        if self._gate is None or not sound:
            return refusals
        over = await self._gate.admit(connection, [d.new for d in sound])
        if any(over) and (there := await self._earlier.answers(connection, sound)):
            sound = [d for d in sound if d.id not in there]
            over = await self._gate.admit(connection, [d.new for d in sound])
        for each in filter(None, over):
            self._counts.refused(each.code)
        return refusals | {d.id: each for d, each in zip(sound, over, strict=True) if each is not None}

    async def _insert(
        self,
        connection: Connection,
        drafts: Sequence[FactDraft],
        analyses: Mapping[UUID, Analysis],
        known: Known,
        now: datetime,
    ) -> set[UUID]:
        """Insert facts, and mark those that they supersede. Return the ids of the inserted ones."""
        rows = self._facts.store_facts(connection, **store_parameters(drafts, analyses, known, now))
        stored = {row["id"] async for row in rows}
        replaced = {(d.tenant_id, old): d for d in drafts if d.id in stored for old in d.new.superseded}
        if replaced:
            superseding = self._facts.supersede(
                connection,
                old_ids=[old for _, old in replaced],
                new_ids=[d.id for d in replaced.values()],
                superseded_ats=[since(d.new, known, now) for d in replaced.values()],
                tenant_ids=[tenant for tenant, _ in replaced],
                now=now,
            )
            _ = [row async for row in superseding]
        await self._jobs.announce_jobs(connection)
        return stored

    async def _get(self, connection: Connection, fact_id: UUID, seen: Visible) -> Fact:
        found = await self._earlier.read(connection, [fact_id], seen)
        if fact_id not in found:
            raise NotFoundError("There is no such fact.")
        return found[fact_id]

    async def _lock_draft_references(self, connection: Connection, drafts: Sequence[FactDraft]) -> Known:
        """Lock the references of drafts, and the chains of the facts that they supersede."""
        tenants = {d.tenant_id for d in drafts}
        if any(d.new.superseded for d in drafts):
            await self._facts.lock_order_of_facts(connection, tenant_ids=sorted(tenants))
        named = [each for d in drafts for each in (*d.new.source_ids, *d.new.superseded)]
        return await self._lock_references(connection, tenants, named, drafts[0].only_user)

    async def _lock_change_references(self, connection: Connection, given: Mapping[str, Any], seen: Visible) -> Known:
        """Lock the references of a change, and the chain of facts if the change may affect it."""
        tenants = {str(seen.tenant_id)}
        if not given.keys().isdisjoint({"superseded_by", "valid_from"}):
            await self._facts.lock_order_of_facts(connection, tenant_ids=list(tenants))
        named = [*given.get("source_ids", ()), *filter(None, [given.get("superseded_by")])]
        return await self._lock_references(connection, tenants, named, seen.user_id)

    async def _lock_references(
        self, connection: Connection, tenants: set[str], ids: Sequence[UUID], only_user: str | None
    ) -> Known:
        """Return those of the messages and facts that exist, locked against deletion."""
        if not ids:
            return {}
        rows = self._facts.hold_memories(connection, tenant_ids=sorted(tenants), ids=list(ids), user_id=only_user)
        return {
            (row["tenant_id"], row["id"]): Held(
                Kind(row["kind"]), row["valid_from"] or at_offset(row["created_at"], row["utc_offset"])
            )
            async for row in rows
        }

    async def _lock(
        self, connection: Connection, fact_id: UUID, seen: Visible, precondition: Precondition | None
    ) -> dict[str, Any]:
        """Return the locked row. Raises `NotFoundError`, `PreconditionFailedError`."""
        await self._jobs.lock_job(connection, message_id=fact_id)
        row = await self._facts.lock_fact(connection, id=fact_id, **seen._asdict())
        if row is None:
            raise NotFoundError("There is no such fact.")
        if precondition is not None:
            precondition.check(row)
        return dict(row)

    async def _change_course(
        self, connection: Connection, before: dict[str, Any], given: Mapping[str, Any], known: Known, *, counted: bool
    ) -> None:
        """Change a fact's sources, its validity, and what supersedes it."""
        fact_id, tenant_id = before["id"], before["tenant_id"]
        before["source_ids"] = [
            row["message_id"] async for row in self._facts.read_sources(connection, fact_id=fact_id)
        ]
        after = {**before, **{name: value for name, value in given.items() if name not in OF_MESSAGES}}
        after["source_ids"] = sorted(after["source_ids"])
        if after["valid_to"] is not None and after["valid_to"] <= after["valid_from"]:
            raise InvalidRequestError("valid_to must be after valid_from.")
        check_named(tenant_id, given.get("source_ids", ()), Kind.MESSAGE, known)
        if "superseded_by" in given:
            after["superseded_at"] = await self._superseded_at(connection, before, given["superseded_by"], known)
        if after == before:
            return
        # Before the sources: the history records the current ones.
        await self._facts.update_fact(
            connection,
            **{name: after[name] for name in COURSE},
            counted=counted,
            now=datetime.now(UTC),
        )
        if after["source_ids"] != before["source_ids"]:
            await self._facts.replace_sources(connection, fact_id=fact_id, message_ids=after["source_ids"])

    async def _superseded_at(
        self, connection: Connection, fact: Mapping[str, Any], successor: UUID | None, known: Known
    ) -> datetime | None:
        """Return when a superseded fact ends, or None. Raises `InvalidRequestError` if it cannot be superseded."""
        if successor is None:
            return None
        check_named(fact["tenant_id"], [successor], Kind.FACT, known)
        rows = self._facts.find_successors(connection, tenant_id=fact["tenant_id"], ids=[successor])
        later = {row["superseded_by"] async for row in rows}
        if fact["id"] == successor or fact["id"] in later:
            raise InvalidRequestError("A fact cannot supersede itself, not even by way of others.")
        return known[fact["tenant_id"], successor].since


def _not_stored(draft: FactDraft) -> MemoryLayerError:
    """Return the error for a fact that repeatedly could not be stored, though its tenant has none in its place."""
    if draft.external_id is not None:
        return OverloadedError("Others store and delete this fact all the time.")
    return IdTakenError("Another message or fact has this id.")
