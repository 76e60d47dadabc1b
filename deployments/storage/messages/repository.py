"""Storage of messages: store, read, change and delete."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeAlias
from uuid import UUID

import orjson
import structlog

from deployments.errors import IdTakenError, InvalidRequestError, MemoryLayerError, NotFoundError, OverloadedError
from deployments.schemas.facts import Kind
from deployments.schemas.filters.namespaces import path_prefix
from deployments.schemas.messages import EmbeddingStatus, Message, MessageChange
from deployments.schemas.search import MessageListing, Order
from deployments.storage.messages.analysis import Analysis, MessageAnalyzer, Said
from deployments.storage.messages.changed_fields import changed_fields, patched
from deployments.storage.messages.drafts import AnalyzedDraft, Draft, Placed, in_lock_order, store_parameters
from deployments.storage.messages.earlier_messages import Earlier, EarlierMessages
from deployments.storage.messages.preconditions import Precondition
from deployments.storage.messages.rows import chat_json, parsed, to_message
from deployments.storage.messages.where_sql import where_sql
from deployments.storage.postgres.database import Connection, Database
from deployments.storage.postgres.named_queries import Sql, load_queries
from deployments.storage.postgres.zones import zoned
from deployments.storage.tenants.usage import QuotaGate
from deployments.tenancy import ALL, Visible

Row: TypeAlias = dict[str, Any]

_ORDERS = {
    Order.NEWEST_FIRST: {"order": Sql("DESC"), "beyond": Sql("<")},
    Order.OLDEST_FIRST: {"order": Sql("ASC"), "beyond": Sql(">")},
}
# How often a store is retried because the message in its place was deleted meanwhile.
TRIES = 10


@dataclass(frozen=True)
class Position:
    """The position at which a page ended: its last message."""

    created_at: datetime
    id: UUID


# The result of storing a draft: the message, the existing one in its place, or an error.
Attempt: TypeAlias = Message | Earlier | MemoryLayerError


@dataclass(frozen=True)
class StoreCounts:
    """Callbacks for metrics: new messages were committed; a quota with this error code refused a message or change."""

    stored: Callable[[int], None] = lambda _count: None
    refused: Callable[[str], None] = lambda _code: None


class MessageRepository:
    """Stores, reads, changes and deletes messages, single ones or batches. Every call is one transaction.

    `seen`: whose messages the caller may see; others count as missing. Errors of every method:
    `DatabaseUnavailableError`, `OverloadedError`; of those that store or change, with a gate, also
    `MessageQuotaError`, `ByteQuotaError` and `EmbeddingQuotaError`.
    """

    def __init__(
        self,
        database: Database,
        analyzer: MessageAnalyzer,
        gate: QuotaGate | None = None,
        counts: StoreCounts | None = None,
    ) -> None:
        """Without `gate` there are no quotas. `counts`: callbacks for metrics."""
        self._database = database
        self._analyzer = analyzer
        self._gate = gate
        self._counts = counts or StoreCounts()
        self._messages = load_queries("messages")
        self._jobs = load_queries("embedding_jobs")
        self._earlier = EarlierMessages()

    async def store(self, drafts: Sequence[Draft]) -> list[Message | MemoryLayerError]:
        """Store messages, each with its embedding job. Return a message or an error for each draft, in order.

        A message that already exists under the id or external id is returned unchanged if it equals the draft; else
        `IdTakenError`, `ExternalIdConflictError`.
        """
        attempts = await self.attempt(drafts)
        return [answer_of(draft, attempt) for draft, attempt in zip(drafts, attempts, strict=True)]

    async def attempt(self, drafts: Sequence[Draft]) -> list[Attempt]:
        """Do the same as `store`, but return any existing message as `Earlier`."""
        request_ids = sorted({each.request_id for each in drafts if each.request_id})
        try:
            with structlog.contextvars.bound_contextvars(request_ids=request_ids):
                attempts = await self._store(drafts)
        except InvalidRequestError as error:
            if len(drafts) == 1:
                return [error]
            return [attempt for each in drafts for attempt in await self.attempt([each])]
        self.count_stored(attempts)
        return attempts

    def count_stored(self, attempts: Sequence[Attempt]) -> None:
        """Count the stored messages in the metrics."""
        self._counts.stored(sum(isinstance(each, Message) for each in attempts))

    async def analyzed(self, drafts: Sequence[Draft]) -> list[AnalyzedDraft]:
        """Return the drafts with their terms. Call it before taking a connection, since it may take a while."""
        analyses = await self._analyzer.analyze([each.message for each in drafts])
        return list(map(AnalyzedDraft, drafts, analyses))

    async def insert(self, connection: Connection, drafts: Sequence[AnalyzedDraft]) -> list[Attempt]:
        """Insert drafts within the quotas, in the caller's transaction. Return an attempt for each, in order."""
        refusals = await self._refusals(connection, drafts)
        admitted = [each for each, refusal in zip(drafts, refusals, strict=True) if refusal is None]
        inserted = iter(await self._insert(connection, admitted) if admitted else [])
        return [refusal or next(inserted) for refusal in refusals]

    async def get(self, message_id: UUID, seen: Visible = ALL) -> Message:
        """Return one message. Raises `NotFoundError`."""
        async with self._database.connection() as connection:
            row = await self._messages.get_message(connection, id=message_id, kind=Kind.MESSAGE, **seen._asdict())
        if row is None:
            raise NotFoundError("There is no such message.")
        return to_message(row)

    async def page(self, listing: MessageListing, limit: int, after: Position | None) -> list[Message]:
        """Return at most `limit` messages of a listing, in its order, after the position `after`."""
        async with self._database.connection() as connection:
            queries = load_queries("messages", where=where_sql(listing.where).text, **_ORDERS[listing.order])
            rows = queries.list_messages(
                connection,
                **listing_parameters(listing),
                position=after and after.created_at,
                position_id=after and after.id,
                limit=limit,
            )
            return [to_message(row) async for row in rows]

    async def change(
        self,
        message_id: UUID,
        change: MessageChange,
        request_id: str | None,
        seen: Visible = ALL,
        precondition: Precondition | None = None,
    ) -> Message:
        """Change a message. It is embedded and scored again if its content changes.

        Raises `NotFoundError`, `PreconditionFailedError`, and `InvalidRequestError` if merged metadata is too large.
        """
        async with self._database.transaction() as connection:
            row = await self.change_within(connection, message_id, change, request_id, seen, precondition)
        if row is None:
            raise NotFoundError("The message has expired.")
        return to_message(row)

    async def change_within(
        self,
        connection: Connection,
        message_id: UUID,
        change: MessageChange,
        request_id: str | None,
        seen: Visible,
        precondition: Precondition | None = None,
        kind: Kind = Kind.MESSAGE,
    ) -> Row | None:
        """Do the same in the caller's transaction. Return the row, or None if it has expired."""
        row = await self._lock(connection, message_id, seen, precondition, kind)
        before = zoned(parsed(row))
        after = patched(before, change, datetime.now(UTC))
        changed = changed_fields(before, after)
        analysis = await self.say_anew(
            connection,
            {"id": message_id, **before},
            after,
            request_id,
            reworded=bool(changed & {"content", "name", "language"}),
            embedded=bool(changed & {"content", "name"}),
        )
        if changed:
            await self._update(connection, message_id, after, analysis)
        found: Row | None = await self._messages.get_message(connection, id=message_id, kind=kind, **seen._asdict())
        return found

    async def say_anew(
        self,
        connection: Connection,
        before: Mapping[str, Any],
        after: Row,
        request_id: str | None,
        *,
        reworded: bool,
        embedded: bool,
    ) -> Analysis | None:
        """Queue the embedding of a changed, locked message if needed. Return its new terms, or None if unchanged.

        Raises the errors of the quotas.
        """
        message_id = before["id"]
        if embedded:
            await self._admit_change(connection, before, after)
        analysis = await self._analyze_again(connection, message_id, after) if reworded else None
        if embedded:
            await self._embed_again(connection, message_id, after, request_id)
        return analysis

    async def delete(
        self,
        message_id: UUID,
        seen: Visible = ALL,
        precondition: Precondition | None = None,
        kind: Kind = Kind.MESSAGE,
    ) -> None:
        """Delete a message. It vanishes from search at once. Raises `NotFoundError`, `PreconditionFailedError`."""
        opened = self._database.connection() if precondition is None else self._database.transaction()
        async with opened as connection:
            if precondition is not None:
                await self._lock(connection, message_id, seen, precondition, kind)
            deleted = await self._messages.delete_message(connection, id=message_id, kind=kind, **seen._asdict())
        if deleted is None:
            raise NotFoundError(f"There is no such {kind}.")

    async def retry_embedding(self, seen: Visible = ALL, message_id: UUID | None = None) -> int:
        """Retry failed embeddings, with a new count of attempts. Return how many."""
        async with self._database.transaction() as connection:
            retried = await self._jobs.retry_failed(connection, message_id=message_id, **seen._asdict())
            await self._jobs.announce_jobs(connection)
        return int(retried)

    async def _store(self, drafts: Sequence[Draft]) -> list[Attempt]:
        """Store drafts. Without a gate, one statement is its own transaction, which saves round trips."""
        analyzed = await self.analyzed(drafts)
        if self._gate is None:
            async with self._database.connection() as connection:
                return await self._insert(connection, analyzed)
        async with self._database.transaction() as connection:
            return await self.insert(connection, analyzed)

    async def _refusals(
        self, connection: Connection, drafts: Sequence[AnalyzedDraft]
    ) -> Sequence[MemoryLayerError | None]:
        """Return why quotas refuse drafts, or None, in order. Existing messages do not count, and are never refused."""
        if self._gate is None:
            return [None] * len(drafts)
        messages = [each.draft.message for each in drafts]
        refusals = await self._gate.admit(connection, messages)
        if any(refusals):
            there = await self._earlier.find(connection, messages)
            absent = [message for message, earlier in zip(messages, there, strict=True) if earlier is None]
            again = iter(await self._gate.admit(connection, absent) if len(absent) < len(messages) else refusals)
            refusals = [None if earlier else next(again) for earlier in there]
        for refusal in refusals:
            if refusal is not None:
                self._counts.refused(refusal.code)
        return refusals

    async def _admit_change(self, connection: object, before: Mapping[str, Any], after: Row) -> None:
        if self._gate is not None:
            waits = before["embedding_status"] == EmbeddingStatus.PENDING
            refusal = await self._gate.admit_change(
                connection, before["tenant_id"], before["content"], after["content"], waits=waits
            )
            if refusal is not None:
                self._counts.refused(refusal.code)
                raise refusal

    async def _insert(self, connection: Connection, drafts: Sequence[AnalyzedDraft]) -> list[Attempt]:
        """Insert messages, and find the existing ones in the place of those that cannot be inserted."""
        attempts: list[Attempt] = [each.draft.message for each in drafts]
        if any(each.draft.is_named for each in drafts):
            left = await self._insert_once(connection, in_lock_order(drafts))
        else:
            present = await self._messages.store_messages(connection, **store_parameters(drafts))
            left = [each for each in enumerate(drafts) if present and each[1].draft.message.id in present]
        for _ in range(TRIES):
            if not left:
                return attempts
            found = await self._earlier.find(connection, [each.draft.message for _, each in left])
            gone = []
            for (place, each), earlier in zip(left, found, strict=True):
                if earlier is None:
                    gone.append((place, each))
                else:
                    attempts[place] = earlier.hidden_from(each.draft) or earlier
            left = gone and await self._insert_once(connection, gone)
        for place, each in left:
            attempts[place] = _not_stored(each.draft)
        return attempts

    async def _insert_once(self, connection: Connection, placed: Sequence[Placed]) -> list[Placed]:
        """Insert messages. Return those that already existed; of drafts with the same id, all but the first."""
        firsts = list({each[1].draft.message.id: each for each in reversed(placed)}.values())[::-1]
        present = set(await self._messages.store_messages(connection, **store_parameters([d for _, d in firsts])) or ())
        inserted = {place for place, each in firsts if each.draft.message.id not in present}
        return [each for each in placed if each[0] not in inserted]

    async def _lock(
        self, connection: object, message_id: UUID, seen: Visible, precondition: Precondition | None, kind: Kind
    ) -> Row:
        """Return the locked row. Raises `NotFoundError`, `PreconditionFailedError`."""
        await self._jobs.lock_job(connection, message_id=message_id)
        row: Row | None = await self._messages.lock_message(connection, id=message_id, kind=kind, **seen._asdict())
        if row is None:
            raise NotFoundError(f"There is no such {kind}.")
        if precondition is not None:
            precondition.check(row)
        return row

    async def _analyze_again(self, connection: Connection, message_id: UUID, after: Row) -> Analysis:
        said = Said(**{name: after[name] for name in Said._fields})
        (analysis,) = await self._analyzer.analyze([said], connection)
        await self._messages.forget_analysis(connection, id=message_id, tenant_id=after["tenant_id"])
        return analysis

    async def _update(self, connection: object, message_id: UUID, after: Row, analysis: Analysis | None) -> None:
        await self._messages.update_message(
            connection,
            id=message_id,
            tenant_id=after["tenant_id"],
            name=after["name"],
            content=after["content"],
            metadata=orjson.dumps(after["metadata"]).decode(),
            chat=chat_json(after["chat"]),
            importance_override=after["importance_override"],
            language=after["language"],
            ttl_seconds=after["ttl_seconds"],
            expires_at=after["expires_at"],
            terms=analysis and analysis.terms,
            term_count=analysis and analysis.term_count,
            analysis=analysis and analysis.tag,
            now=datetime.now(UTC),
        )

    async def _embed_again(self, connection: object, message_id: UUID, after: Row, request_id: str | None) -> None:
        tenant_id = after["tenant_id"]
        await self._jobs.enqueue_job(
            connection, message_id=message_id, tenant_id=tenant_id, request_id=request_id, content=after["content"]
        )
        await self._messages.forget_meaning(connection, id=message_id, tenant_id=tenant_id)
        await self._jobs.announce_jobs(connection)


def listing_parameters(listing: MessageListing) -> dict[str, object]:
    """Return the parameters of `list_messages`, except for the page."""
    return {
        **listing.model_dump(exclude={"metadata", "where", "order", "limit", "cursor"}),
        "conversation_prefix": path_prefix(listing.conversation_prefix),
        "metadata": None if listing.metadata is None else orjson.dumps(listing.metadata).decode(),
        "where_values": where_sql(listing.where).values,
    }


def _not_stored(draft: Draft) -> MemoryLayerError:
    """Return the error for a message that repeatedly could not be stored, though its tenant has none in its place."""
    if draft.new.external_id is not None and draft.new.id is None:
        return OverloadedError("Others store and delete this message all the time.")
    return IdTakenError("Another message has this id.")


def answer_of(draft: Draft, attempt: Attempt) -> Message | MemoryLayerError:
    """Return the result for the caller of a store: an existing message may count as the stored one."""
    return attempt.answer_to(draft.message, draft.new) if isinstance(attempt, Earlier) else attempt
