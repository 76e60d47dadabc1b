"""Snapshots of all messages of a tenant or of one of its users, read in bounded memory."""

from base64 import b64encode
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import orjson

from deployments.schemas.transfer import SnapshotCounts
from deployments.storage.postgres.database import Connection, Database
from deployments.storage.postgres.named_queries import load_queries
from deployments.storage.postgres.zones import zoned

PAGE = 500
# Columns that are not exported as they are: the vector is packed, and a mark is not part of its message.
_READ_ALONG = {"embedding", "metadata", "chat", "mark", "fact"}


class Reached(NamedTuple):
    """Progress of reading a snapshot: the number of messages, the sum of their marks, and the last one's position."""

    messages: int
    marks: int
    created_at: datetime
    id: UUID


class SnapshotPage(NamedTuple):
    """Messages as lines of JSON, oldest first; how many have a vector; and how far the snapshot was read with them."""

    lines: list[bytes]
    vectors: int
    reached: Reached


class TenantSnapshot:
    """The messages of a tenant or a user when the snapshot was taken, whatever is written meanwhile."""

    def __init__(self, connection: Connection, tenant_id: str, user_id: str | None) -> None:
        self._connection = connection
        self._whose = {"tenant_id": tenant_id, "user_id": user_id}
        self._queries = load_queries("transfer")

    async def counts(self) -> SnapshotCounts:
        """Return the counts of the snapshot."""
        row = await self._queries.count_snapshot(self._connection, **self._whose)
        return SnapshotCounts(**{**row, "space": orjson.loads(row["space"])})

    async def holds_what_was_read(self, reached: Reached) -> bool:
        """Return whether this snapshot equals another one up to the position that was read there."""
        row = await self._queries.marks_until(
            self._connection, **self._whose, until=reached.created_at, until_id=reached.id
        )
        return (row["messages"], int(row["marks"])) == (reached.messages, reached.marks)

    async def pages(self, reached: Reached | None, *, with_vectors: bool) -> AsyncIterator[SnapshotPage]:
        """Yield all messages after the position `reached`."""
        while True:
            rows = [
                row
                async for row in self._queries.read_snapshot(
                    self._connection,
                    **self._whose,
                    with_vectors=with_vectors,
                    after=reached and reached.created_at,
                    after_id=reached and reached.id,
                    limit=PAGE,
                )
            ]
            if not rows:
                return
            reached = _after(reached, rows)
            vectors = sum(row["embedding"] is not None for row in rows)
            yield SnapshotPage([_line(row) for row in rows], vectors, reached)


@asynccontextmanager
async def tenant_snapshot(
    database: Database, tenant_id: str, user_id: str | None = None
) -> AsyncIterator[TenantSnapshot]:
    """Open a snapshot for the block. Raises `DatabaseUnavailableError`, `OverloadedError`."""
    async with (
        database.connection() as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        yield TenantSnapshot(connection, tenant_id, user_id)


def _after(reached: Reached | None, rows: list[Any]) -> Reached:
    messages, marks = (reached.messages, reached.marks) if reached else (0, 0)
    last = rows[-1]
    return Reached(messages + len(rows), marks + sum(row["mark"] for row in rows), last["created_at"], last["id"])


def _line(row: Mapping[str, Any]) -> bytes:
    """Return the JSON line of a message, always with the same fields in the same order; a fact has one more."""
    fields = {name: value for name, value in zoned(row).items() if name not in _READ_ALONG}
    # As Postgres writes it: parsing and writing could change a number.
    fields["metadata"] = orjson.Fragment(row["metadata"])
    fields["chat"] = orjson.Fragment(row["chat"] or "null")
    vector = row["embedding"]
    fields["embedding"] = None if vector is None else b64encode(vector.to_numpy().astype("<f2").tobytes()).decode()
    if row["fact"] is not None:
        # A fact's subject is exported as its name.
        fields["fact"] = {name: value for name, value in orjson.loads(row["fact"]).items() if name != "subject"}
    return orjson.dumps(fields, str, orjson.OPT_APPEND_NEWLINE | orjson.OPT_UTC_Z)
