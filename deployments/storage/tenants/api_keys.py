"""Storage of API keys: create, list, rotate, revoke, and read for authentication."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from uuid_utils.compat import uuid7

from deployments.errors import ForbiddenError, NotFoundError
from deployments.schemas.api_key_format import make_key
from deployments.schemas.api_keys import CreatedKey, KeyScope, ListedKey, NewKey, Rights
from deployments.storage.postgres.database import Database
from deployments.storage.postgres.named_queries import load_queries


@dataclass(frozen=True)
class StoredKey:
    """The data for checking a key. `digest`: 32 bytes of SHA-256."""

    id: UUID
    prefix: str
    digest: bytes
    rights: Rights
    revoked: bool
    rate_limit: str | None = None


@dataclass(frozen=True)
class KeyChanges:
    """Keys that were created or changed, and the time of the read by the database's clock."""

    keys: list[StoredKey]
    read_at: datetime


class ApiKeyRepository:
    """Stores keys. Every call is one transaction. Tenant None: the caller may see the keys of all tenants.

    Errors of every method: `DatabaseUnavailableError`, `OverloadedError`.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._queries = load_queries("api_keys")

    async def create(self, new: NewKey) -> CreatedKey:
        """Create a key. The result has the only copy of its secret."""
        async with self._database.connection() as connection:
            return await self._insert(connection, new.name, new.rights, new.rate_limit)

    async def page(self, tenant_id: str | None, limit: int, after: tuple[datetime, UUID] | None) -> list[ListedKey]:
        """Return at most `limit` keys, newest first, after the position (created_at, id)."""
        before, before_id = after or (None, None)
        async with self._database.connection() as connection:
            rows = self._queries.list_keys(
                connection, tenant_id=tenant_id, before=before, before_id=before_id, limit=limit
            )
            return [_to_listed(row) async for row in rows]

    async def revoke(self, key_id: UUID, tenant_id: str | None = None) -> str:
        """Revoke a key, even if it is revoked already. Return its prefix. Raises `NotFoundError`."""
        async with self._database.connection() as connection:
            prefix = await self._queries.revoke_key(connection, id=key_id, tenant_id=tenant_id)
        if prefix is None:
            raise NotFoundError("There is no such key.")
        return str(prefix)

    async def rotate(self, key_id: UUID, overlap_seconds: int, within: Rights) -> CreatedKey:
        """Create a key with the rights and the rate limit of an old one, which expires after the overlap.

        Raises `NotFoundError` if the tenant of `within` has no such active key, and `ForbiddenError` if the key allows
        more than `within` does.
        """
        async with self._database.transaction() as connection:
            row = await self._queries.lock_active_key(connection, id=key_id, tenant_id=within.tenant_id)
            if row is None:
                raise NotFoundError("There is no such active key.")
            old = _to_listed(row)
            if not within.cover(old.rights):
                raise ForbiddenError("That key allows more than yours does.")
            await self._queries.expire_key(connection, id=key_id, overlap_seconds=overlap_seconds)
            return await self._insert(connection, old.name, old.rights, old.rate_limit)

    async def changed_since(self, since: datetime | None) -> KeyChanges:
        """Return the keys that changed after `since`, including revoked and expired ones. None: all keys."""
        async with self._database.connection() as connection:
            rows = [row async for row in self._queries.changed_keys(connection, since=since)]
        return KeyChanges([_to_stored(row) for row in rows if row["id"] is not None], rows[0]["read_at"])

    async def note_uses(self, uses: Mapping[UUID, datetime]) -> None:
        """Record when keys were last used. Times that differ by less than a minute are not written."""
        async with self._database.connection() as connection:
            await self._queries.note_uses(connection, ids=list(uses), used_ats=list(uses.values()))

    async def _insert(self, connection: object, name: str, rights: Rights, rate_limit: str | None) -> CreatedKey:
        made = make_key()
        row = await self._queries.create_key(
            connection,
            id=uuid7(),
            name=name,
            prefix=made.prefix,
            hash=made.digest,
            tenant_id=rights.tenant_id,
            user_id=rights.user_id,
            scopes=[scope for scope in KeyScope if scope in rights.scopes],
            expires_at=rights.expires_at,
            rate_limit=rate_limit,
        )
        described = _to_listed(row).model_dump(exclude={"last_used_at", "revoked_at"})
        return CreatedKey(**described, key=made.text)


def _to_listed(row: Mapping[str, Any]) -> ListedKey:
    return ListedKey.model_validate(dict(row))


def _to_stored(row: Mapping[str, Any]) -> StoredKey:
    rights = Rights(row["tenant_id"], frozenset(map(KeyScope, row["scopes"])), row["expires_at"], row["user_id"])
    revoked = row["revoked_at"] is not None
    return StoredKey(row["id"], row["prefix"], row["hash"], rights, revoked, row["rate_limit"])
