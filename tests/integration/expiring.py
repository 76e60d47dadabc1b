"""Messages whose `expires_at` is moved: a test that waited for it would be slow, or fail on a slow machine."""

from datetime import datetime
from typing import Any
from uuid import UUID

from tests.integration.recount import execute
from tests.integration.service import Service

MOVE = "UPDATE messages SET expires_at = now() + make_interval(secs => $2) WHERE id = $1"
HOUR = 3_600.0


async def expire(service: Service, message_id: str, seconds: float = -0.001) -> None:
    """Have a message expire in so many seconds from now: it has, where the number is negative."""
    await execute(service, MOVE, UUID(message_id), seconds)


async def row_of(service: Service, message_id: str) -> dict[str, Any] | None:
    """A message's row, whether it has expired or not; None where there is none. `left`: seconds until it expires."""
    async with service.database.connection() as connection:
        row = await connection.fetchrow(
            """
            SELECT extract(epoch FROM expires_at - now())::float8 AS left, expires_at, ttl_seconds, version, updated_at,
                   xmin::text AS written_by
            FROM messages WHERE id = $1
            """,
            UUID(message_id),
        )
    return None if row is None else dict(row)


async def left(service: Service, message_id: str) -> float:
    """Seconds until a message expires."""
    row = await row_of(service, message_id)
    assert row is not None
    seconds: float = row["left"]
    return seconds


def seconds_between(earlier: str, later: str) -> float:
    """Seconds from one time of an answer to another."""
    return (datetime.fromisoformat(later) - datetime.fromisoformat(earlier)).total_seconds()
