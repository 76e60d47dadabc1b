"""Stores under an `Idempotency-Key`: a retry answers as the first time, and stores nothing twice."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import TypeAlias
from uuid import UUID

import orjson

from deployments.errors import IdempotencyConflictError, InvalidRequestError, MemoryLayerError
from deployments.schemas import Message
from deployments.storage.database import Connection, Database
from deployments.storage.drafts import AnalyzedDraft, Draft
from deployments.storage.messages import Attempt, MessageRepository, answer_of
from deployments.storage.named_queries import load_queries
from deployments.storage.rows import to_message
from deployments.tenancy import Visible

IDEMPOTENCY_HOURS = 24
FORGOTTEN = "null"
PURGED_WITH_EACH_KEY = 10

# The ids that a batch has stored, of one tenant or several, by the messages' places in it.
Record: TypeAlias = dict[int, UUID]


class IdempotentStores:
    """Keeps keys for a day: of a single message with its first answer, of a batch with the ids that it stored.

    A key belongs to a tenant; that of a batch to each of its tenants. Errors of every method: as of
    `MessageRepository`, and `IdempotencyConflictError` where the key was used before with another body.
    """

    def __init__(self, database: Database, messages: MessageRepository) -> None:
        self._database = database
        self._messages = messages
        self._keys = load_queries("idempotency")
        self._named = load_queries("named_messages")

    async def store(self, new: Draft, key: str, body: bytes) -> Message:
        """Store a message unless `key` was used before; then return what was answered the first time.

        `body` is what the client asked for. A message that has been deleted since raises `IdempotencyConflictError`.
        """
        tenant_id = new.message.tenant_id
        analyzed = await self._messages.analyzed([new])
        async with self._database.transaction() as connection:
            first = await self._reserved(
                connection, tenant_id, key, body, new.message.model_dump_json(exclude={"importance"})
            )
            if first is None:
                attempts = await self._messages.insert(connection, analyzed)
                answer = answer_of(new, attempts[0])
                if isinstance(answer, MemoryLayerError):
                    raise answer
                if answer is not new.message:
                    first = answer.model_dump_json(exclude={"importance"})
                    await self._keys.set_answer(connection, tenant_id=tenant_id, key=key, answer=first)
        if first is None:
            self._messages.count_stored(attempts)
            return new.message
        if first == FORGOTTEN:
            raise IdempotencyConflictError("What was stored under this Idempotency-Key has been deleted since.")
        return Message.model_validate_json(first)

    async def store_batch(
        self, drafts: Mapping[int, Draft], key: str, body: bytes
    ) -> dict[int, Message | MemoryLayerError]:
        """Store messages, given by their places in a batch; those that the key has stored before are answered again.

        What was refused the first time is tried again. `IdempotencyConflictError` takes the place of a message that
        has been deleted since.
        """
        analyzed = dict(zip(drafts, await self._messages.analyzed(list(drafts.values())), strict=True))
        tenants = sorted({draft.message.tenant_id for draft in drafts.values()})
        only_user = next((draft.only_user for draft in drafts.values()), None)
        answers: dict[int, Message | MemoryLayerError] = {}
        async with self._database.transaction() as connection:
            records = {tenant_id: await self._record(connection, tenant_id, key, body) for tenant_id in tenants}
            for tenant_id, record in records.items():
                answers |= await self._stored_before(connection, Visible(tenant_id, only_user), record)
            fresh = {place: each for place, each in analyzed.items() if place not in answers}
            attempts = await self._insert_apart(connection, list(fresh.values())) if fresh else []
            for (place, each), attempt in zip(fresh.items(), attempts, strict=True):
                answers[place] = answer_of(each.draft, attempt)
            for tenant_id, record in records.items():
                stored = {place: answers[place] for place in fresh if drafts[place].message.tenant_id == tenant_id}
                await self._note(connection, tenant_id, key, record, stored)
        self._messages.count_stored(attempts)
        return answers

    async def _reserved(self, connection: Connection, tenant_id: str, key: str, body: bytes, answer: str) -> str | None:
        """Reserve a key with an answer, and return None; or else return the answer that it has."""
        fingerprint = hashlib.sha256(body).digest()
        reserved = await self._keys.reserve_key(
            connection,
            tenant_id=tenant_id,
            key=key,
            fingerprint=fingerprint,
            answer=answer,
            kept_hours=IDEMPOTENCY_HOURS,
        )
        # Each new key sweeps up after some old ones, so that no job has to.
        await self._keys.purge_keys(connection, kept_hours=IDEMPOTENCY_HOURS, limit=PURGED_WITH_EACH_KEY)
        if reserved:
            return None
        first = await self._keys.get_answer(connection, tenant_id=tenant_id, key=key)
        if first["fingerprint"] != fingerprint:
            raise IdempotencyConflictError("This Idempotency-Key was used before with another body.")
        return str(first["answer"])

    async def _record(self, connection: Connection, tenant_id: str, key: str, body: bytes) -> Record:
        """Return the ids that a batch has stored for a tenant under the key, which is its own from now on."""
        first = await self._reserved(connection, tenant_id, key, body, '{"stored": {}}')
        if first is None:
            return {}
        return {int(place): UUID(each) for place, each in orjson.loads(first)["stored"].items()}

    async def _stored_before(
        self, connection: Connection, seen: Visible, record: Record
    ) -> dict[int, Message | MemoryLayerError]:
        if not record:
            return {}
        rows = self._named.get_messages(connection, **seen._asdict(), ids=list(record.values()), external_ids=[])
        there = {row["id"]: to_message(row) async for row in rows}
        gone = IdempotencyConflictError("What was stored under this Idempotency-Key has been deleted since.")
        return {place: there.get(message_id, gone) for place, message_id in record.items()}

    async def _note(
        self,
        connection: Connection,
        tenant_id: str,
        key: str,
        record: Record,
        answers: Mapping[int, Message | MemoryLayerError],
    ) -> None:
        """Record what a batch has stored: ids alone, so that nothing of what was said is kept twice."""
        stored = {place: answer.id for place, answer in answers.items() if isinstance(answer, Message)}
        if stored:
            answer = {"stored": {str(place): str(message_id) for place, message_id in (record | stored).items()}}
            await self._keys.set_answer(connection, tenant_id=tenant_id, key=key, answer=orjson.dumps(answer).decode())

    async def _insert_apart(self, connection: Connection, drafts: Sequence[AnalyzedDraft]) -> list[Attempt]:
        """Insert drafts; what Postgres cannot hold fails alone, and leaves the transaction as it was."""
        try:
            async with connection.transaction():
                with self._database.errors(connection):
                    return await self._messages.insert(connection, drafts)
        except InvalidRequestError as error:
            if len(drafts) == 1:
                return [error]
            return [attempt for each in drafts for attempt in await self._insert_apart(connection, [each])]
