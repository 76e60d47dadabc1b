"""Put, get and delete of messages by the callers' own names, one or many at once."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID
from weakref import WeakValueDictionary

import orjson

from deployments.errors import (
    ExternalIdConflictError,
    IdTakenError,
    MemoryLayerError,
    OverloadedError,
    PreconditionFailedError,
    UnavailableError,
)
from deployments.schemas.facts import Kind
from deployments.schemas.messages import Message
from deployments.storage.messages.drafts import Draft
from deployments.storage.messages.earlier_messages import Earlier, EarlierMessages, changes, replaced
from deployments.storage.messages.preconditions import Precondition
from deployments.storage.messages.repository import TRIES, Attempt, MessageRepository, Row
from deployments.storage.messages.rows import chat_json, to_message
from deployments.storage.postgres.database import Connection, Database
from deployments.storage.postgres.named_queries import load_queries
from deployments.storage.postgres.zones import zoned
from deployments.tenancy import Visible

# The fields that a message's terms depend on, and those that its embedding depends on.
ANALYZED = {"content", "name", "language", "created_at", "utc_offset"}
EMBEDDED = {"content", "name", "role", "created_at", "utc_offset"}
# Columns that a replacement keeps, or that the statement sets itself.
NOT_WRITTEN = {"embedding_status", "archived", "external_id", "version", "updated_at"}


class Put(NamedTuple):
    """The message after a put, and whether it is new. `read`: its row, if it was read after the put."""

    message: Message
    created: bool
    read: Earlier | None = None


class Deleted(NamedTuple):
    """The names of a message that was deleted."""

    id: UUID
    external_id: str | None


class NamedMessageRepository:
    """Puts, gets and deletes messages. Errors of every method: `DatabaseUnavailableError`, `OverloadedError`."""

    def __init__(self, database: Database, messages: MessageRepository) -> None:
        self._database = database
        self._messages = messages
        self._queries = load_queries("named_messages")
        self._jobs = load_queries("embedding_jobs")
        self._earlier = EarlierMessages()
        self._replace_locks: WeakValueDictionary[tuple[str, str | None], asyncio.Lock] = WeakValueDictionary()

    async def put_if(self, draft: Draft, precondition: Precondition) -> Put | MemoryLayerError:
        """Replace the message with the same external id, if it meets the precondition. Return the put or an error.

        Errors: `PreconditionFailedError`, and those of `put`.
        """
        async with self._database.connection() as connection:
            (earlier,) = await self._earlier.find(connection, [draft.message])
        absent = PreconditionFailedError("There is no message of this external_id.")
        if earlier is None:
            return absent
        refusal = earlier.hidden_from(draft) or _refusal(draft, earlier, only_new=False)
        if refusal is not None:
            return refusal
        async with self._replace_lock(draft.message):
            return await self._put_over(draft, earlier, precondition) or absent

    async def put(self, drafts: Sequence[Draft], *, only_new: bool = False) -> list[Put | MemoryLayerError]:
        """Store messages, or replace those with the same external ids. Return a put or an error for each, in order.

        Errors: those of `MessageRepository.store`, and with `only_new` `PreconditionFailedError` for existing messages.
        """
        puts: list[Put | MemoryLayerError] = []
        # The same name may occur twice: then the row that was read before is stale.
        known: dict[UUID, Earlier | None] = {}
        for draft, attempt in zip(drafts, await self._messages.attempt(drafts), strict=True):
            stale, latest = False, attempt
            if isinstance(attempt, Earlier) and attempt.row["id"] in known:
                read = known[attempt.row["id"]]
                stale, latest = read is None, read or attempt
            put = await self._settled(draft, latest, only_new=only_new, stale=stale)
            if isinstance(put, Put):
                known[put.message.id] = put.read
            puts.append(put)
        return puts

    async def get(
        self, seen: Visible, ids: Sequence[UUID] | None, external_ids: Sequence[str] | None
    ) -> list[Message | None]:
        """Return a tenant's messages by ids, or else by external ids, in order; None for those that do not exist."""
        async with self._database.connection() as connection:
            rows = self._queries.get_messages(
                connection, **seen._asdict(), ids=ids or [], external_ids=external_ids or []
            )
            found = [to_message(row) async for row in rows if row["kind"] == Kind.MESSAGE]
        if ids is not None:
            by_id = {message.id: message for message in found}
            return [by_id.get(each) for each in ids]
        by_name = {message.external_id: message for message in found}
        return [by_name.get(each) for each in external_ids or ()]

    async def delete(
        self, seen: Visible, ids: Sequence[UUID] | None, external_ids: Sequence[str] | None
    ) -> list[Deleted | None]:
        """Delete messages in one statement, and from search at once. Return their names in order, None for missing."""
        async with self._database.connection() as connection:
            rows = self._queries.delete_messages(
                connection, **seen._asdict(), ids=ids or [], external_ids=external_ids or [], expired=False
            )
            deleted = [Deleted(**row) async for row in rows]
        if ids is not None:
            by_id = {each.id: each for each in deleted}
            return [by_id.pop(each, None) for each in ids]
        by_name = {each.external_id: each for each in deleted}
        return [by_name.pop(each, None) for each in external_ids or ()]

    async def _settled(self, draft: Draft, attempt: Attempt, *, only_new: bool, stale: bool) -> Put | MemoryLayerError:
        settled = _settled_unwritten(draft, attempt, only_new=only_new, stale=stale)
        if not isinstance(settled, Earlier):
            return settled
        async with self._replace_lock(draft.message):
            for _ in range(TRIES):
                put = await self._put_over(draft, settled)
                if put is not None:
                    return put
                # The earlier message was deleted meanwhile.
                (attempt,) = await self._messages.attempt([draft])
                settled = _settled_unwritten(draft, attempt, only_new=only_new, stale=False)
                if not isinstance(settled, Earlier):
                    return settled
        return OverloadedError("Others store and delete this message all the time.")

    async def _put_over(
        self, draft: Draft, earlier: Earlier, precondition: Precondition | None = None
    ) -> Put | MemoryLayerError | None:
        try:
            latest = await self._replace(draft, earlier, precondition)
        except UnavailableError:
            raise
        except MemoryLayerError as error:
            return error
        return latest and Put(latest.message, created=False, read=latest)

    def _replace_lock(self, message: Message) -> asyncio.Lock:
        """Return the lock for replacing one message. Callers wait for it without holding a connection."""
        name = (message.tenant_id, message.external_id)
        lock = self._replace_locks.get(name) or asyncio.Lock()
        return self._replace_locks.setdefault(name, lock)

    async def _replace(self, draft: Draft, earlier: Earlier, precondition: Precondition | None) -> Earlier | None:
        """Replace a message. Return it, or None if it no longer exists. A replacement without effect writes nothing.

        Raises `PreconditionFailedError`.
        """
        async with self._database.transaction() as connection:
            name = {"id": earlier.row["id"], **Visible(draft.message.tenant_id, draft.only_user)._asdict()}
            await self._jobs.lock_job(connection, message_id=name["id"])
            row = await self._queries.lock_to_replace(connection, **name)
            if row is None:
                return None
            if precondition is not None:
                precondition.check(row)
            after = replaced(row, draft.message, draft.new)
            changed = changes(row, after)
            if changed:
                await self._write(connection, row, after, changed, draft.request_id)
            rows = self._queries.get_messages(
                connection, tenant_id=name["tenant_id"], user_id=name["user_id"], ids=[name["id"]], external_ids=[]
            )
            # None if it has expired meanwhile.
            return next(iter([Earlier(row) async for row in rows]), None)

    async def _write(
        self, connection: Connection, before: Mapping[str, Any], after: Row, changed: set[str], request_id: str | None
    ) -> None:
        analysis = await self._messages.say_anew(
            connection,
            before,
            zoned(after),
            request_id,
            reworded=bool(changed & ANALYZED),
            embedded=bool(changed & EMBEDDED),
        )
        written = {name: after[name] for name in after if name not in NOT_WRITTEN}
        await self._queries.replace_message(
            connection,
            **{**written, "metadata": orjson.dumps(after["metadata"]).decode(), "chat": chat_json(after["chat"])},
            terms=analysis and analysis.terms,
            term_count=analysis and analysis.term_count,
            analysis=analysis and analysis.tag,
            now=datetime.now(UTC),
        )


def _settled_unwritten(
    draft: Draft, attempt: Attempt, *, only_new: bool, stale: bool
) -> Put | MemoryLayerError | Earlier:
    """Return the result of a put, or the message that it has to replace. `stale`: that may have changed since."""
    if isinstance(attempt, MemoryLayerError):
        return attempt
    if isinstance(attempt, Message):
        return Put(attempt, created=True)
    if attempt.is_attempt_of(draft.message, draft.new):
        return Put(attempt.message, created=True)
    refusal = _refusal(draft, attempt, only_new=only_new)
    if refusal is None and not stale and not changes(attempt.row, replaced(attempt.row, draft.message, draft.new)):
        return Put(attempt.message, created=False, read=attempt)
    return refusal or attempt


def _refusal(draft: Draft, earlier: Earlier, *, only_new: bool) -> MemoryLayerError | None:
    """Return why a draft may not replace the existing message, or None. A message's names never change."""
    if earlier.row["kind"] == Kind.FACT:
        return ExternalIdConflictError("A fact has this external_id.")
    if earlier.row["external_id"] != draft.message.external_id:
        return IdTakenError("Another message has this id.")
    if only_new:
        return PreconditionFailedError("There is a message of this external_id.")
    if draft.new.id not in {None, earlier.row["id"]}:
        return ExternalIdConflictError("The message of this external_id has another id.")
    return None
