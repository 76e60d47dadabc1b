"""Messages: stored, read, changed, deleted."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple, TypeAlias
from uuid import UUID

import orjson
import structlog
from uuid_utils.compat import uuid7

from deployments.chat_schemas import ChatMessage
from deployments.errors import (
    IdempotencyConflictError,
    IdTakenError,
    InvalidRequestError,
    MemoryLayerError,
    NotFoundError,
)
from deployments.filters.namespaces import path_prefix
from deployments.schemas import EmbeddingStatus, Message, MessageChange, NewMessage
from deployments.search_schemas import MessageListing, Order
from deployments.storage.changed_fields import changed_fields, patched
from deployments.storage.database import Connection, Database
from deployments.storage.expiry import expiry_of
from deployments.storage.message_analysis import Analysis, MessageAnalyzer, Said
from deployments.storage.named_queries import Sql, load_queries
from deployments.storage.preconditions import Precondition
from deployments.storage.rows import chat_json, to_chat, to_message
from deployments.storage.usage import QuotaGate
from deployments.storage.where_sql import where_sql
from deployments.storage.zones import offset_minutes, zoned

Row: TypeAlias = dict[str, Any]

IDEMPOTENCY_HOURS = 24
FORGOTTEN = "null"
PURGED_WITH_EACH_KEY = 10
_ORDERS = {
    Order.NEWEST_FIRST: {"order": Sql("DESC"), "beyond": Sql("<")},
    Order.OLDEST_FIRST: {"order": Sql("ASC"), "beyond": Sql(">")},
}


@dataclass(frozen=True)
class Position:
    """Where a page ended: the last message on it."""

    created_at: datetime
    id: UUID


@dataclass(frozen=True)
class Draft:
    """A message about to be stored, and the request that brought it."""

    message: Message
    importance_override: float | None
    request_id: str | None


def draft(new: NewMessage, request_id: str | None, now: datetime, message_id: UUID | None = None) -> Draft:
    """Give a new message its id and its times. Ids are UUIDs of version 7: they sort by time.

    `message_id`: the one that it gets at each attempt to store it, where there may be several.
    """
    message = Message.model_construct(
        id=message_id or uuid7(),
        tenant_id=new.tenant_id,
        conversation_id=new.conversation_id,
        role=new.role,
        name=new.name,
        content=new.content,
        metadata=new.metadata,
        importance_score=new.importance_override,
        embedding_status=EmbeddingStatus.PENDING,
        embedding_error=None,
        archived=False,
        created_at=new.created_at or now,
        updated_at=now,
        language=new.language,
        external_id=new.external_id,
        user_id=new.user_id,
        agent_id=new.agent_id,
        ttl_seconds=new.ttl_seconds,
        expires_at=expiry_of(new, now),
        version=1,
        chat=new.chat if isinstance(new, ChatMessage) else None,
    )
    return Draft(message, new.importance_override, request_id)


class AnalyzedDraft(NamedTuple):
    """A draft with the terms that find it."""

    draft: Draft
    analysis: Analysis


class Outcome(NamedTuple):
    """Why drafts were refused, in their order, and those messages that an earlier attempt has stored, by their ids."""

    refusals: Sequence[MemoryLayerError | None]
    earlier: Mapping[UUID, Message]


@dataclass(frozen=True)
class StoreCounts:
    """Told, for the metrics: new messages were committed; a message or a change was refused by the quota of a code."""

    stored: Callable[[int], None] = lambda _count: None
    refused: Callable[[str], None] = lambda _code: None


class MessageRepository:
    """All that is done with messages one by one or in batches. Every call is one transaction.

    Where a tenant may be None, the caller may see every tenant. Errors of every method:
    `DatabaseUnavailableError`, `OverloadedError`; of those that store or change, where there is a gate, also
    `MessageQuotaError`, `ByteQuotaError` and `EmbeddingQuotaError`.
    """

    def __init__(
        self,
        database: Database,
        analyzer: MessageAnalyzer,
        gate: QuotaGate | None = None,
        counts: StoreCounts | None = None,
    ) -> None:
        """No gate: no quotas. `counts` is told what came of it."""
        self._database = database
        self._analyzer = analyzer
        self._gate = gate
        self._counts = counts or StoreCounts()
        self._messages = load_queries("messages")
        self._jobs = load_queries("embedding_jobs")
        self._keys = load_queries("idempotency")

    async def store(self, drafts: Sequence[Draft]) -> list[Message | MemoryLayerError]:
        """Store messages, each together with its pending embedding; what cannot be stored fails alone.

        What is there already under its id is returned as it is: an earlier attempt of the same request has stored it.
        """
        request_ids = sorted({each.request_id for each in drafts if each.request_id})
        try:
            with structlog.contextvars.bound_contextvars(request_ids=request_ids):
                refusals, earlier = await self._store(drafts)
        except InvalidRequestError as error:
            if len(drafts) == 1:
                return [error]
            return [result for each in drafts for result in await self.store([each])]
        self._counts.stored(sum(refusal is None for refusal in refusals) - len(earlier))
        for refusal in refusals:
            if refusal is not None:
                self._counts.refused(refusal.code)
        messages = [earlier.get(each.message.id, each.message) for each in drafts]
        return [refusal or message for message, refusal in zip(messages, refusals, strict=True)]

    async def store_once(self, new: Draft, key: str, body: bytes) -> Message:
        """Store a message unless `key` was used before; then return what was answered the first time.

        `body` is what the client asked for: another body under the same key raises `IdempotencyConflictError`, and
        so does a message that has been deleted since.
        """
        fingerprint = hashlib.sha256(body).digest()
        tenant_id = new.message.tenant_id
        analyzed = await self._analyzed([new])
        async with self._database.transaction() as connection:
            reserved = await self._keys.reserve_key(
                connection,
                tenant_id=tenant_id,
                key=key,
                fingerprint=fingerprint,
                answer=new.message.model_dump_json(exclude={"importance"}),
                kept_hours=IDEMPOTENCY_HOURS,
            )
            # Each new key sweeps up after some old ones, so that no job has to.
            await self._keys.purge_keys(connection, kept_hours=IDEMPOTENCY_HOURS, limit=PURGED_WITH_EACH_KEY)
            if reserved:
                (refusal,), _ = await self._insert_admitted(connection, analyzed)
                if refusal is not None:
                    self._counts.refused(refusal.code)
                    raise refusal
            else:
                first = await self._keys.get_answer(connection, tenant_id=tenant_id, key=key)
        if reserved:
            self._counts.stored(1)
            return new.message
        if first["fingerprint"] != fingerprint:
            raise IdempotencyConflictError("This Idempotency-Key was used before with another body.")
        if first["answer"] == FORGOTTEN:
            raise IdempotencyConflictError("What was stored under this Idempotency-Key has been deleted since.")
        return Message.model_validate_json(first["answer"])

    async def get(self, message_id: UUID, tenant_id: str | None = None) -> Message:
        """One message. Raises `NotFoundError`."""
        async with self._database.connection() as connection:
            row = await self._messages.get_message(connection, id=message_id, tenant_id=tenant_id)
        if row is None:
            raise NotFoundError("There is no such message.")
        return to_message(row)

    async def page(self, listing: MessageListing, limit: int, after: Position | None) -> list[Message]:
        """At most `limit` messages of a listing in its order, behind the position `after`."""
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
        tenant_id: str | None = None,
        precondition: Precondition | None = None,
    ) -> Message:
        """Change a message; what it says anew is embedded and scored again.

        Raises `NotFoundError`, `PreconditionFailedError`, and `InvalidRequestError` where merged metadata is too large.
        """
        async with self._database.transaction() as connection:
            row = await self._lock(connection, message_id, tenant_id, precondition)
            before = {**zoned(row), "metadata": orjson.loads(row["metadata"]), "chat": to_chat(row["chat"])}
            after = patched(before, change, datetime.now(UTC))
            changed = changed_fields(before, after)
            if changed & {"content", "name"}:
                await self._admit_change(connection, before, after)
            reworded = changed & {"content", "name", "language"}
            analysis = await self._analyze_again(connection, message_id, after) if reworded else None
            if changed & {"content", "name"}:
                await self._embed_again(connection, message_id, after, request_id)
            if changed:
                await self._update(connection, message_id, after, analysis)
            row = await self._messages.get_message(connection, id=message_id, tenant_id=before["tenant_id"])
        if row is None:
            raise NotFoundError("The message has expired.")
        return to_message(row)

    async def delete(
        self, message_id: UUID, tenant_id: str | None = None, precondition: Precondition | None = None
    ) -> None:
        """Delete a message; it is gone from search at once. Raises `NotFoundError`, `PreconditionFailedError`."""
        opened = self._database.connection() if precondition is None else self._database.transaction()
        async with opened as connection:
            if precondition is not None:
                await self._lock(connection, message_id, tenant_id, precondition)
            deleted = await self._messages.delete_message(connection, id=message_id, tenant_id=tenant_id)
        if deleted is None:
            raise NotFoundError("There is no such message.")

    async def retry_embedding(self, tenant_id: str | None = None, message_id: UUID | None = None) -> int:
        """Have failed messages embedded again, with all attempts before them. Returns how many."""
        async with self._database.transaction() as connection:
            retried = await self._jobs.retry_failed(connection, tenant_id=tenant_id, message_id=message_id)
            await self._jobs.announce_jobs(connection)
        return int(retried)

    async def _store(self, drafts: Sequence[Draft]) -> Outcome:
        """One statement is a transaction of its own, and saves the round trips of another."""
        analyzed = await self._analyzed(drafts)
        if self._gate is None:
            async with self._database.connection() as connection:
                return Outcome([None] * len(drafts), await self._insert(connection, analyzed))
        async with self._database.transaction() as connection:
            return await self._insert_admitted(connection, analyzed)

    async def _analyzed(self, drafts: Sequence[Draft]) -> list[AnalyzedDraft]:
        """Return the drafts with their terms: before a connection is taken, since that may take a while."""
        analyses = await self._analyzer.analyze([each.message for each in drafts])
        return list(map(AnalyzedDraft, drafts, analyses))

    async def _insert_admitted(self, connection: object, drafts: Sequence[AnalyzedDraft]) -> Outcome:
        refusals: Sequence[MemoryLayerError | None] = [None] * len(drafts)
        if self._gate is not None:
            refusals = await self._gate.admit(connection, [each.draft.message for each in drafts])
        admitted = [each for each, refusal in zip(drafts, refusals, strict=True) if refusal is None]
        return Outcome(refusals, await self._insert(connection, admitted) if admitted else {})

    async def _admit_change(self, connection: object, before: Row, after: Row) -> None:
        if self._gate is not None:
            waits = before["embedding_status"] == EmbeddingStatus.PENDING
            refusal = await self._gate.admit_change(
                connection, before["tenant_id"], before["content"], after["content"], waits=waits
            )
            if refusal is not None:
                self._counts.refused(refusal.code)
                raise refusal

    async def _insert(self, connection: object, drafts: Sequence[AnalyzedDraft]) -> dict[UUID, Message]:
        """Insert messages. Return those that were there already, by their ids. Raises `IdTakenError`."""
        present = set(await self._messages.store_messages(connection, **store_parameters(drafts)) or ())
        earlier = {}
        for message in (each.draft.message for each in drafts if each.draft.message.id in present):
            row = await self._messages.get_message(connection, id=message.id, tenant_id=message.tenant_id)
            if row is None:
                raise IdTakenError("Another message has this id.")
            earlier[message.id] = to_message(row)
        return earlier

    async def _lock(
        self, connection: object, message_id: UUID, tenant_id: str | None, precondition: Precondition | None
    ) -> Row:
        """Return the locked row. Raises `NotFoundError`, `PreconditionFailedError`."""
        await self._jobs.lock_job(connection, message_id=message_id)
        row: Row | None = await self._messages.lock_message(connection, id=message_id, tenant_id=tenant_id)
        if row is None:
            raise NotFoundError("There is no such message.")
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
    """The parameters of `list_messages`, but for the page."""
    return {
        **listing.model_dump(exclude={"metadata", "where", "order", "limit", "cursor"}),
        "conversation_prefix": path_prefix(listing.conversation_prefix),
        "metadata": None if listing.metadata is None else orjson.dumps(listing.metadata).decode(),
        "where_values": where_sql(listing.where).values,
    }


def store_parameters(drafts: Sequence[AnalyzedDraft]) -> dict[str, object]:
    """The parameters of `store_messages`: a list for each column."""
    messages = [each.draft.message for each in drafts]
    return {
        "ids": [m.id for m in messages],
        "tenant_ids": [m.tenant_id for m in messages],
        "conversation_ids": [m.conversation_id for m in messages],
        "roles": [m.role for m in messages],
        "names": [m.name for m in messages],
        "contents": [m.content for m in messages],
        "metadatas": [orjson.dumps(m.metadata).decode() for m in messages],
        "chats": [chat_json(m.chat) for m in messages],
        "overrides": [each.draft.importance_override for each in drafts],
        "created_ats": [m.created_at for m in messages],
        "utc_offsets": [offset_minutes(m.created_at) for m in messages],
        "languages": [m.language for m in messages],
        "terms": [each.analysis.terms for each in drafts],
        "term_counts": [each.analysis.term_count for each in drafts],
        "analyses": [each.analysis.tag for each in drafts],
        "request_ids": [each.draft.request_id for each in drafts],
        "external_ids": [m.external_id for m in messages],
        "user_ids": [m.user_id for m in messages],
        "agent_ids": [m.agent_id for m in messages],
        "ttls": [m.ttl_seconds for m in messages],
        "expiries": [m.expires_at for m in messages],
        "now": messages[0].updated_at,
    }
