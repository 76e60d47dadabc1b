"""Keys under which a caller stores: who had one first, with which body, and what was answered or stored then."""

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

# The ids that a request has stored for a tenant, by their places in it.
Record: TypeAlias = dict[int, UUID]


class StoreKey(NamedTuple):
    """An `Idempotency-Key`, and the body that came with it."""

    key: str
    body: bytes


class IdempotencyKeys:
    """Keeps keys for a day. A key belongs to a tenant; that of a batch to each of its tenants.

    Every method works in the caller's transaction, and raises `IdempotencyConflictError` where the key was used before
    with another body.
    """

    def __init__(self) -> None:
        self._keys = load_queries("idempotency")

    async def reserve(self, connection: Connection, tenant_id: str, key: StoreKey, answer: str) -> str | None:
        """Reserve a key with an answer, and return None; or else return the answer that it has."""
        fingerprint = hashlib.sha256(key.body).digest()
        reserved = await self._keys.reserve_key(
            connection,
            tenant_id=tenant_id,
            key=key.key,
            fingerprint=fingerprint,
            answer=answer,
            kept_hours=IDEMPOTENCY_HOURS,
        )
        # Each new key sweeps up after some old ones, so that no job has to.
        await self._keys.purge_keys(connection, kept_hours=IDEMPOTENCY_HOURS, limit=PURGED_WITH_EACH_KEY)
        if reserved:
            return None
        first = await self._keys.get_answer(connection, tenant_id=tenant_id, key=key.key)
        if first["fingerprint"] != fingerprint:
            raise IdempotencyConflictError("This Idempotency-Key was used before with another body.")
        return str(first["answer"])

    async def set_answer(self, connection: Connection, tenant_id: str, key: StoreKey, answer: str) -> None:
        """Have a reserved key give another answer."""
        await self._keys.set_answer(connection, tenant_id=tenant_id, key=key.key, answer=answer)

    async def records(self, connection: Connection, tenant_ids: Iterable[str], key: StoreKey) -> dict[str, Record]:
        """Return what was stored under a key for each tenant. The key is theirs from now on."""
        return {tenant_id: await self._record(connection, tenant_id, key) for tenant_id in sorted(set(tenant_ids))}

    async def note(self, connection: Connection, tenant_id: str, key: StoreKey, record: Record, stored: Record) -> None:
        """Record what was stored besides: ids alone, so that nothing of what was said is kept twice.

        A key under which nothing is stored is nobody's again.
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
    """Return what is answered in place of what was stored under a key and deleted."""
    return IdempotencyConflictError("What was stored under this Idempotency-Key has been deleted since.")
