"""Idempotency keys, with the hash of their request's body and its answer or stored ids."""

import hashlib
from collections.abc import Iterable
from typing import NamedTuple, TypeAlias
from uuid import UUID

import orjson

from deployments.errors import IdempotencyConflictError
from deployments.storage.postgres.database import Connection
from deployments.storage.postgres.named_queries import load_queries

IDEMPOTENCY_HOURS = 24
PURGED_WITH_EACH_KEY = 10

# The ids that a request has stored for a tenant, by their places in the request.
Record: TypeAlias = dict[int, UUID]


class StoreKey(NamedTuple):
    """An `Idempotency-Key` and the body of its request."""

    key: str
    body: bytes


class IdempotencyKeys:
    """Keeps keys for a day. A key belongs to one tenant; the key of a batch belongs to each of its tenants.

    Every method works in the caller's transaction, and raises `IdempotencyConflictError` if the key was used with
    another body.
    """

    def __init__(self) -> None:
        self._keys = load_queries("idempotency")

    async def reserve(self, connection: Connection, tenant_id: str, key: StoreKey, answer: str) -> str | None:
        """Reserve a key with an answer and return None. If it is reserved already, return its answer."""
        fingerprint = hashlib.sha256(key.body).digest()
        reserved = await self._keys.reserve_key(
            connection,
            tenant_id=tenant_id,
            key=key.key,
            fingerprint=fingerprint,
            answer=answer,
            kept_hours=IDEMPOTENCY_HOURS,
        )
        # Each call deletes some expired keys, so that no job is needed.
        await self._keys.purge_keys(connection, kept_hours=IDEMPOTENCY_HOURS, limit=PURGED_WITH_EACH_KEY)
        if reserved:
            return None
        first = await self._keys.get_answer(connection, tenant_id=tenant_id, key=key.key)
        if first["fingerprint"] != fingerprint:
            raise IdempotencyConflictError("This Idempotency-Key was used before with another body.")
        return str(first["answer"])

    async def set_answer(self, connection: Connection, tenant_id: str, key: StoreKey, answer: str) -> None:
        """Replace the answer of a reserved key."""
        await self._keys.set_answer(connection, tenant_id=tenant_id, key=key.key, answer=answer)

    async def records(self, connection: Connection, tenant_ids: Iterable[str], key: StoreKey) -> dict[str, Record]:
        """Reserve a key for each tenant. Return what was stored under it for each."""
        return {tenant_id: await self._record(connection, tenant_id, key) for tenant_id in sorted(set(tenant_ids))}

    async def note(self, connection: Connection, tenant_id: str, key: StoreKey, record: Record, stored: Record) -> None:
        """Record the additionally stored ids. Only ids are kept, so that no content is stored twice.

        A key under which nothing is stored is released.
        """
        if stored:
            answer = {"stored": {str(place): str(each) for place, each in (record | stored).items()}}
            await self.set_answer(connection, tenant_id, key, orjson.dumps(answer).decode())
        elif not record:
            await self._keys.free_key(connection, tenant_id=tenant_id, key=key.key)

    async def _record(self, connection: Connection, tenant_id: str, key: StoreKey) -> Record:
        first = await self.reserve(connection, tenant_id, key, '{"stored": {}}')
        if first is None:
            return {}
        return {int(place): UUID(each) for place, each in orjson.loads(first)["stored"].items()}


def deleted_since() -> IdempotencyConflictError:
    """Return the error for a message that was stored under a key and deleted since."""
    return IdempotencyConflictError("What was stored under this Idempotency-Key has been deleted since.")
