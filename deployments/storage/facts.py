"""Facts: rows of `messages` of a kind of their own, and the messages that they follow from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID

import orjson
from uuid_utils.compat import uuid7

from deployments.errors import ExternalIdConflictError, InvalidRequestError, MemoryLayerError, NotFoundError
from deployments.fact_schemas import Fact, FactChange, FactListing, Kind, NewFact
from deployments.schemas import EmbeddingStatus, MessageChange
from deployments.storage.database import Connection, Database
from deployments.storage.expiry import expiry_of
from deployments.storage.message_analysis import Analysis, MessageAnalyzer, Said, analysis_columns
from deployments.storage.messages import MessageRepository, Position, StoreCounts
from deployments.storage.named_queries import load_queries
from deployments.storage.usage import QuotaGate
from deployments.storage.zones import at_offset
from deployments.tenancy import ALL, Visible, bound_user

# Fields of a fact that any message has, and their names there.
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


@dataclass(frozen=True)
class FactDraft:
    """A fact about to be stored, and the request that brought it.

    `only_user`: the user whose messages and facts alone it may follow from and supersede; None: any.
    """

    id: UUID
    new: NewFact
    request_id: str | None
    only_user: str | None = None


class _Held(NamedTuple):
    """A message or a fact that is there until the transaction ends. `since`: when it was said, or began to hold."""

    kind: Kind
    since: datetime


_Known = Mapping[tuple[str, UUID], _Held]


def fact_draft(new: NewFact, request_id: str | None, fact_id: UUID | None = None) -> FactDraft:
    """Give a new fact its id: `fact_id`, where there may be several attempts to store it."""
    return FactDraft(fact_id or uuid7(), new, request_id, bound_user())


class FactRepository:
    """All that is done with facts. Every call is one transaction.

    `seen`: whose facts the caller may see. Errors of every method: `DatabaseUnavailableError`, `OverloadedError`; of
    those that store or change, where there is a gate, also `MessageQuotaError`, `ByteQuotaError` and
    `EmbeddingQuotaError`.
    """

    def __init__(
        self,
        database: Database,
        messages: MessageRepository,
        analyzer: MessageAnalyzer,
        gate: QuotaGate | None = None,
        counts: StoreCounts | None = None,
    ) -> None:
        """No gate: no quotas. `counts` is told what came of it."""
        self._database = database
        self._messages = messages
        self._analyzer = analyzer
        self._gate = gate
        self._counts = counts or StoreCounts()
        self._facts = load_queries("facts")
        self._jobs = load_queries("embedding_jobs")

    async def store(self, drafts: Sequence[FactDraft]) -> list[Fact | MemoryLayerError]:
        """Store facts; what cannot be stored fails alone.

        `InvalidRequestError`: a source or a fact that it supersedes is not there. `ExternalIdConflictError`: another
        has its `external_id`.

        What is there already under its id is returned as it is: an earlier attempt of the same request has stored it.
        """
        try:
            stored = await self._store(drafts)
        except InvalidRequestError as error:
            if len(drafts) == 1:
                return [error]
            return [result for each in drafts for result in await self.store([each])]
        for outcome in stored:
            if isinstance(outcome, MemoryLayerError):
                self._counts.refused(outcome.code)
        return stored

    async def get(self, fact_id: UUID, seen: Visible = ALL) -> Fact:
        """Return one fact. Raises `NotFoundError`."""
        async with self._database.connection() as connection:
            return await self._get(connection, fact_id, seen)

    async def page(self, listing: FactListing, after: Position | None) -> list[Fact]:
        """Return the facts of a page, newest first, behind the position `after`, and one more where there is more."""
        async with self._database.connection() as connection:
            rows = self._facts.list_facts(
                connection,
                **listing.model_dump(exclude={"limit", "cursor"}),
                before=after and after.created_at,
                before_id=after and after.id,
                limit=listing.limit + 1,
            )
            return [_to_fact(row) async for row in rows]

    async def change(self, fact_id: UUID, change: FactChange, request_id: str | None, seen: Visible = ALL) -> Fact:
        """Change a fact; what it says anew is embedded and scored again.

        Raises `NotFoundError`, and `InvalidRequestError` for sources and facts that are not there, for a fact that
        would supersede itself, and for one that would end before it begins.
        """
        async with self._database.transaction() as connection:
            owner = (await self._get(connection, fact_id, seen)).tenant_id
            seen = Visible(owner, seen.user_id)
            given = change.model_dump(exclude_unset=True)
            named = [*(given.get("source_ids") or ()), *filter(None, [given.get("superseded_by")])]
            # What is named is locked before the fact, as whoever deletes a source does.
            if "superseded_by" in given:
                await self._facts.lock_order_of_facts(connection, tenant_ids=[owner])
            known = await self._hold(connection, {owner}, named, seen.user_id) if named else {}
            worded = {OF_MESSAGES[name]: value for name, value in given.items() if name in OF_MESSAGES}
            if worded:
                words = MessageChange.model_validate(worded)
                await self._messages.change_within(connection, fact_id, words, request_id, seen)
            if given.keys() - OF_MESSAGES:
                await self._change_course(connection, fact_id, owner, given, known)
            return await self._get(connection, fact_id, seen)

    async def delete(self, fact_id: UUID, seen: Visible = ALL) -> None:
        """Delete a fact. Its sources stay, and what it superseded holds again. Raises `NotFoundError`."""
        await self.get(fact_id, seen)
        await self._messages.delete(fact_id, seen)

    async def _store(self, drafts: Sequence[FactDraft]) -> list[Fact | MemoryLayerError]:
        now = datetime.now(UTC)
        said = [Said(d.new.tenant_id, d.new.subject, d.new.content, now, d.new.language) for d in drafts]
        analyses = dict(zip((d.id for d in drafts), await self._analyzer.analyze(said), strict=True))
        tenants = {d.new.tenant_id for d in drafts}
        named = [each for d in drafts for each in (*d.new.source_ids, *d.new.superseded)]
        async with self._database.transaction() as connection:
            if any(d.new.superseded for d in drafts):
                await self._facts.lock_order_of_facts(connection, tenant_ids=sorted(tenants))
            known = await self._hold(connection, tenants, named, drafts[0].only_user) if named else {}
            refusals: dict[UUID, MemoryLayerError] = {
                d.id: refusal for d in drafts if (refusal := _refusal(d.new, known, now)) is not None
            }
            refusals |= await self._over_quota(connection, [d for d in drafts if d.id not in refusals])
            admitted = [d for d in drafts if d.id not in refusals]
            stored = await self._insert(connection, admitted, analyses, known, now) if admitted else set()
            present = (
                await self._read(connection, [d.id for d in admitted], Visible(user_id=drafts[0].only_user))
                if admitted
                else {}
            )
            outcomes: list[Fact | MemoryLayerError] = [refusals.get(d.id) or _outcome(d, present) for d in drafts]
        self._counts.stored(len(stored))
        return outcomes

    async def _over_quota(self, connection: Connection, drafts: Sequence[FactDraft]) -> dict[UUID, MemoryLayerError]:
        if self._gate is None or not drafts:
            return {}
        refusals = await self._gate.admit(connection, [d.new for d in drafts])
        return {d.id: refusal for d, refusal in zip(drafts, refusals, strict=True) if refusal is not None}

    async def _insert(
        self,
        connection: Connection,
        drafts: Sequence[FactDraft],
        analyses: Mapping[UUID, Analysis],
        known: _Known,
        now: datetime,
    ) -> set[UUID]:
        """Insert facts, and have them supersede others. Returns the ids of those that were not there yet."""
        since = {d.id: _since(d.new, known, now) for d in drafts}
        rows = self._facts.store_facts(
            connection,
            **_columns(drafts, analyses, now),
            valid_froms=[since[d.id] for d in drafts],
            now=now,
        )
        stored = {row["id"] async for row in rows}
        replaced = {(d.new.tenant_id, old): d.id for d in drafts if d.id in stored for old in d.new.superseded}
        await self._supersede(connection, replaced, since, now)
        await self._jobs.announce_jobs(connection)
        return stored

    async def _supersede(
        self,
        connection: Connection,
        replaced: Mapping[tuple[str, UUID], UUID],
        since: Mapping[UUID, datetime],
        now: datetime,
    ) -> None:
        """Note what holds in the place of facts: by tenant and id, the id of the new one."""
        if not replaced:
            return
        rows = self._facts.supersede(
            connection,
            old_ids=[old for _, old in replaced],
            new_ids=list(replaced.values()),
            superseded_ats=[since[new] for new in replaced.values()],
            tenant_ids=[tenant for tenant, _ in replaced],
            now=now,
        )
        _ = [row async for row in rows]

    async def _get(self, connection: Connection, fact_id: UUID, seen: Visible) -> Fact:
        found = await self._read(connection, [fact_id], seen)
        if fact_id not in found:
            raise NotFoundError("There is no such fact.")
        return found[fact_id]

    async def _read(self, connection: Connection, ids: Sequence[UUID], seen: Visible) -> dict[UUID, Fact]:
        rows = self._facts.read_facts(connection, ids=list(ids), **seen._asdict())
        return {row["id"]: _to_fact(row) async for row in rows}

    async def _hold(
        self, connection: Connection, tenants: set[str], ids: Sequence[UUID], only_user: str | None
    ) -> _Known:
        """Return those of the messages and facts that are there, by tenant and id, and keep them from being deleted."""
        rows = self._facts.hold_memories(connection, tenant_ids=sorted(tenants), ids=list(ids), user_id=only_user)
        return {
            (row["tenant_id"], row["id"]): _Held(
                Kind(row["kind"]), row["valid_from"] or at_offset(row["created_at"], row["utc_offset"])
            )
            async for row in rows
        }

    async def _change_course(
        self, connection: Connection, fact_id: UUID, tenant_id: str, given: Mapping[str, Any], known: _Known
    ) -> None:
        """Change what a fact follows from, when it holds, and what holds in its place."""
        before = await self._facts.lock_fact(connection, id=fact_id, tenant_id=tenant_id)
        if before is None:
            raise NotFoundError("There is no such fact.")
        after = {**dict(before), **given}
        if after["valid_to"] is not None and after["valid_to"] <= after["valid_from"]:
            raise InvalidRequestError("valid_to must be after valid_from.")
        successor = after["superseded_by"]
        if "superseded_by" in given and successor is not None:
            _check_named(tenant_id, [successor], Kind.FACT, known)
            await self._check_is_no_circle(connection, tenant_id, fact_id, successor)
        if "source_ids" in given:
            _check_named(tenant_id, given["source_ids"], Kind.MESSAGE, known)
            await self._facts.replace_sources(connection, fact_id=fact_id, message_ids=given["source_ids"])
        newer = None if successor is None else await self._get(connection, successor, Visible(tenant_id))
        await self._facts.update_fact(
            connection,
            id=fact_id,
            tenant_id=tenant_id,
            valid_from=after["valid_from"],
            valid_to=after["valid_to"],
            superseded_by=successor,
            superseded_at=newer and newer.valid_from,
            now=datetime.now(UTC),
        )

    async def _check_is_no_circle(self, connection: Connection, tenant_id: str, fact_id: UUID, successor: UUID) -> None:
        rows = self._facts.find_successors(connection, tenant_id=tenant_id, ids=[successor])
        later = {row["superseded_by"] async for row in rows}
        if fact_id == successor or fact_id in later:
            raise InvalidRequestError("A fact cannot supersede itself, not even by way of others.")


def _outcome(draft: FactDraft, present: Mapping[UUID, Fact]) -> Fact | ExternalIdConflictError:
    fact = present.get(draft.id)
    if fact is None or fact.tenant_id != draft.new.tenant_id:
        return ExternalIdConflictError("Another message or fact has this external_id.")
    return fact


def _refusal(new: NewFact, known: _Known, now: datetime) -> InvalidRequestError | None:
    try:
        _check_named(new.tenant_id, new.source_ids, Kind.MESSAGE, known)
        _check_named(new.tenant_id, new.superseded, Kind.FACT, known)
    except InvalidRequestError as error:
        return error
    if new.valid_to is not None and new.valid_to <= _since(new, known, now):
        return InvalidRequestError("valid_to must be after valid_from: say since when it held.")
    return None


def _check_named(tenant_id: str, ids: Sequence[UUID], kind: Kind, known: _Known) -> None:
    """Raise `InvalidRequestError` unless all are there and of this kind; another tenant's are as if not there."""
    unknown = [each for each in ids if (held := known.get((tenant_id, each))) is None or held.kind is not kind]
    if unknown:
        raise InvalidRequestError(f"There is no such {kind}.", {f"unknown_{kind}s": [str(each) for each in unknown]})


def _since(new: NewFact, known: _Known, now: datetime) -> datetime:
    """Return since when a fact holds: as it was sent, or since its newest source was said, or now."""
    if new.valid_from is not None:
        return new.valid_from
    return max((known[new.tenant_id, each].since for each in new.source_ids), default=now).astimezone(UTC)


def _columns(drafts: Sequence[FactDraft], analyses: Mapping[UUID, Analysis], now: datetime) -> dict[str, object]:
    """Return the parameters of `store_facts`: a list for each column."""
    new = [d.new for d in drafts]
    sources = [(d.id, source) for d in drafts for source in d.new.source_ids]
    return {
        "ids": [d.id for d in drafts],
        "tenant_ids": [n.tenant_id for n in new],
        # Callers cannot name a conversation so.
        "conversation_ids": [n.conversation_id or "" for n in new],
        "subjects": [n.subject for n in new],
        "contents": [n.content for n in new],
        "metadatas": [orjson.dumps(n.metadata).decode() for n in new],
        "overrides": [n.importance_override for n in new],
        "languages": [n.language for n in new],
        **analysis_columns([analyses[d.id] for d in drafts]),
        "request_ids": [d.request_id for d in drafts],
        "external_ids": [n.external_id for n in new],
        "user_ids": [n.user_id for n in new],
        "agent_ids": [n.agent_id for n in new],
        "ttls": [n.ttl_seconds for n in new],
        "expiries": [expiry_of(n, now) for n in new],
        "valid_tos": [n.valid_to for n in new],
        "fact_ids": [fact for fact, _ in sources],
        "message_ids": [source for _, source in sources],
    }


def _to_fact(row: Mapping[str, Any]) -> Fact:
    """A row of `list_facts`; trusted, so not validated again."""
    fields = dict(row)
    return Fact.model_construct(
        **{
            **fields,
            "created_at": at_offset(fields["created_at"], fields.pop("utc_offset")),
            "metadata": orjson.loads(row["metadata"]),
            "embedding_status": EmbeddingStatus(row["embedding_status"]),
        }
    )
