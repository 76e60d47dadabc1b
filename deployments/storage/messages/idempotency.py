"""Storing of messages under an `Idempotency-Key`: a retry gets the first answer, and stores nothing twice."""

from collections.abc import Mapping, Sequence

from deployments.errors import InvalidRequestError, MemoryLayerError
from deployments.schemas.messages import Message
from deployments.storage.messages.drafts import AnalyzedDraft, Draft
from deployments.storage.messages.idempotency_keys import IdempotencyKeys, Record, StoreKey, deleted_since
from deployments.storage.messages.repository import Attempt, MessageRepository, answer_of
from deployments.storage.messages.rows import to_message
from deployments.storage.postgres.database import Connection, Database
from deployments.storage.postgres.named_queries import load_queries
from deployments.tenancy import Visible

FORGOTTEN = "null"


class IdempotentStores:
    """Stores messages under keys. It records the first answer of a single message, and the stored ids of a batch.

    Errors of every method: those of `MessageRepository`, and `IdempotencyConflictError` if the key was used with
    another body.
    """

    def __init__(self, database: Database, messages: MessageRepository) -> None:
        self._database = database
        self._messages = messages
        self._keys = IdempotencyKeys()
        self._named = load_queries("named_messages")

    async def store(self, new: Draft, key: StoreKey) -> Message:
        """Store a message, or return the first answer if the key was used before.

        Raises `IdempotencyConflictError` if the message was deleted since.
        """
        tenant_id = new.message.tenant_id
        analyzed = await self._messages.analyzed([new])
        async with self._database.transaction() as connection:
            first = await self._keys.reserve(
                connection, tenant_id, key, new.message.model_dump_json(exclude={"importance"})
            )
            if first is None:
                attempts = await self._messages.insert(connection, analyzed)
                answer = answer_of(new, attempts[0])
                if isinstance(answer, MemoryLayerError):
                    raise answer
                if answer is not new.message:
                    first = answer.model_dump_json(exclude={"importance"})
                    await self._keys.set_answer(connection, tenant_id, key, first)
        if first is None:
            self._messages.count_stored(attempts)
            return new.message
        if first == FORGOTTEN:
            raise deleted_since()
        return Message.model_validate_json(first)

    async def store_batch(self, drafts: Mapping[int, Draft], key: StoreKey) -> dict[int, Message | MemoryLayerError]:
        """Store messages, given by their places in a batch. Return those that the key has stored before unchanged.

        Messages that were refused the first time are tried again. The result of a message that was deleted since is
        `IdempotencyConflictError`.
        """
        analyzed = dict(zip(drafts, await self._messages.analyzed(list(drafts.values())), strict=True))
        only_user = next((draft.only_user for draft in drafts.values()), None)
        answers: dict[int, Message | MemoryLayerError] = {}
        async with self._database.transaction() as connection:
            records = await self._keys.records(connection, (each.message.tenant_id for each in drafts.values()), key)
            for tenant_id, record in records.items():
                answers |= await self._stored_before(connection, Visible(tenant_id, only_user), record)
            fresh = {place: each for place, each in analyzed.items() if place not in answers}
            attempts = await self._insert_apart(connection, list(fresh.values())) if fresh else []
            for (place, each), attempt in zip(fresh.items(), attempts, strict=True):
                answers[place] = answer_of(each.draft, attempt)
            for tenant_id, record in records.items():
                tenants = {place: answers[place] for place in fresh if drafts[place].message.tenant_id == tenant_id}
                stored = {place: answer.id for place, answer in tenants.items() if isinstance(answer, Message)}
                await self._keys.note(connection, tenant_id, key, record, stored)
        self._messages.count_stored(attempts)
        return answers

    async def _stored_before(
        self, connection: Connection, seen: Visible, record: Record
    ) -> dict[int, Message | MemoryLayerError]:
        if not record:
            return {}
        rows = self._named.get_messages(connection, **seen._asdict(), ids=list(record.values()), external_ids=[])
        there = {row["id"]: to_message(row) async for row in rows}
        return {place: there.get(message_id, deleted_since()) for place, message_id in record.items()}

    async def _insert_apart(self, connection: Connection, drafts: Sequence[AnalyzedDraft]) -> list[Attempt]:
        """Insert drafts. One that Postgres cannot hold fails alone, and is rolled back to a savepoint."""
        try:
            async with connection.transaction():
                with self._database.errors(connection):
                    return await self._messages.insert(connection, drafts)
        except InvalidRequestError as error:
            if len(drafts) == 1:
                return [error]
            return [attempt for each in drafts for attempt in await self._insert_apart(connection, [each])]
