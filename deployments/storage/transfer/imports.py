"""Import of messages from another database, with all of their data."""

from collections.abc import Mapping, Sequence
from enum import Enum, auto
from typing import Any, TypeAlias
from uuid import UUID

import numpy as np
from pgvector import HalfVector

from deployments.errors import ExternalIdConflictError, IdTakenError, InvalidRequestError, MemoryLayerError
from deployments.schemas.transfer import MovedMessage, VectorSpace
from deployments.storage.messages.analysis import MessageAnalyzer
from deployments.storage.messages.drafts import message_columns
from deployments.storage.messages.earlier_messages import names_of
from deployments.storage.postgres.database import Connection, Database
from deployments.storage.postgres.named_queries import load_queries


class ImportStatus(Enum):
    """The result of a message: it was stored, or it was present before and is unchanged."""

    STORED = auto()
    PRESENT = auto()


Outcome: TypeAlias = ImportStatus | MemoryLayerError


class ImportRepository:
    """Inserts messages under their own ids, each only once however often it is imported. Quotas do not apply."""

    def __init__(self, database: Database, analyzer: MessageAnalyzer, space: VectorSpace) -> None:
        """`space`: of the imported vectors, which are stored only while it is active."""
        self._database = database
        self._analyzer = analyzer
        self._space = space
        self._queries = load_queries("transfer")
        self._named = load_queries("named_messages")
        self._jobs = load_queries("embedding_jobs")
        self._facts = load_queries("facts")

    async def insert(self, tenant_id: str, messages: Sequence[MovedMessage]) -> list[Outcome]:
        """Store the messages that are missing, in one transaction. Return an outcome for each, in order.

        A message that cannot be stored fails alone, also with `ExternalIdConflictError` for another's external id.

        Raises `IdTakenError`, `DatabaseUnavailableError`, `OverloadedError`.
        """
        try:
            return await self._insert(tenant_id, messages)
        except InvalidRequestError as error:
            if len(messages) == 1:
                return [error]
            return [outcome for each in messages for outcome in await self.insert(tenant_id, [each])]

    async def _insert(self, tenant_id: str, messages: Sequence[MovedMessage]) -> list[Outcome]:
        new = {each.id: each for each in reversed(messages)}
        columns = await self._columns(list(new.values()))
        async with self._database.transaction() as connection:
            stored = await self._stored(connection, tenant_id, columns)
            unknown = [each for each in new.values() if each.id not in stored]
            if unknown and await self._deleted_expired(connection, tenant_id, unknown):
                stored = await self._stored(connection, tenant_id, columns) | stored
                unknown = [each for each in new.values() if each.id not in stored]
            conflicts = await self._conflicts(connection, tenant_id, unknown)
            await self._convert_to_facts(
                connection, tenant_id, [new[each] for each, is_new in stored.items() if is_new]
            )
            await self._jobs.announce_jobs(connection)
        # Of messages with the same id, the first is stored.
        return [
            conflicts.get(each.id) or (ImportStatus.STORED if stored.pop(each.id, False) else ImportStatus.PRESENT)
            for each in messages
        ]

    async def _convert_to_facts(self, connection: Connection, tenant_id: str, stored: Sequence[MovedMessage]) -> None:
        facts = {each.id: each.fact for each in stored if each.fact is not None}
        if not facts:
            return
        sources = [(fact_id, source) for fact_id, fact in facts.items() for source in fact.source_ids]
        await self._facts.convert_to_facts(
            connection,
            tenant_id=tenant_id,
            ids=list(facts),
            valid_froms=[fact.valid_from for fact in facts.values()],
            valid_tos=[fact.valid_to for fact in facts.values()],
            superseded_bys=[fact.superseded_by for fact in facts.values()],
            superseded_ats=[fact.superseded_at for fact in facts.values()],
            source_fact_ids=[fact_id for fact_id, _ in sources],
            source_ids=[source for _, source in sources],
        )

    async def _stored(
        self, connection: Connection, tenant_id: str, columns: Mapping[str, list[Any]]
    ) -> dict[UUID, bool]:
        """Store missing messages. Return by id, for those that exist now, whether they were stored by this call."""
        rows = self._queries.insert_messages(
            connection, tenant_id=tenant_id, model=self._space.model, dimensions=self._space.dimensions, **columns
        )
        return {row["id"]: row["stored"] async for row in rows}

    async def _deleted_expired(
        self, connection: Connection, tenant_id: str, unknown: Sequence[MovedMessage]
    ) -> list[object]:
        asked = {"tenant_id": tenant_id, "user_id": None, **names_of(unknown)}
        rows = self._named.delete_messages(connection, **asked, expired=True)
        return [row async for row in rows]

    async def _conflicts(
        self, connection: Connection, tenant_id: str, unknown: Sequence[MovedMessage]
    ) -> dict[UUID, MemoryLayerError]:
        """Return by id why messages are still missing, except for those that were inserted concurrently.

        Raises `IdTakenError`.
        """
        if not unknown:
            return {}
        asked = {"tenant_id": tenant_id, "user_id": None, **names_of(unknown)}
        rows = [row async for row in self._named.get_messages(connection, **asked)]
        ids, names = {row["id"] for row in rows}, {row["external_id"] for row in rows} - {None}
        absent = [each for each in unknown if each.id not in ids]
        if any(each.external_id not in names for each in absent):
            raise IdTakenError("Messages of another tenant have the same ids here.")
        return {
            each.id: ExternalIdConflictError(f"another message here has its external_id {each.external_id!r}")
            for each in absent
        }

    async def _columns(self, messages: Sequence[MovedMessage]) -> dict[str, list[Any]]:
        analyses = await self._analyzer.analyze(messages)
        return {
            **message_columns(messages, analyses),
            "importances": [m.importance for m in messages],
            "overrides": [m.importance_override for m in messages],
            "embeddings": [self._vector(m) for m in messages],
            "statuses": [m.embedding_status for m in messages],
            "errors": [m.embedding_error for m in messages],
            "archiveds": [m.archived for m in messages],
            "archived_ats": [m.archived_at for m in messages],
            "updated_ats": [m.updated_at for m in messages],
        }

    def _vector(self, message: MovedMessage) -> HalfVector | None:
        packed = message.packed_vector(self._space.dimensions)
        return None if packed is None else HalfVector(np.frombuffer(packed, dtype="<f2"))
