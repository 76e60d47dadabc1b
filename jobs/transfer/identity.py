"""Deterministic ids and times of imported messages: reading the same file again gives the same ones."""

import hashlib
from datetime import UTC, datetime, timedelta
from uuid import UUID

from jobs.transfer.formats.turns import Turn

TICK = timedelta(microseconds=1)
MILLISECONDS_BITS, HIGH_INDEX_BITS, LOW_INDEX_BITS = 48, 12, 20
HASH_BITS = 42
COPY_BITS = 32


def derived_id(tenant_id: str, turn: Turn) -> UUID:
    """Return an id of version 8, derived from the message. At equal times, ids sort in the order of the source."""
    digest = _digest(f"{tenant_id}\0{turn.identity}\0{turn.said_at and turn.said_at.isoformat()}")
    if turn.said_at is None:
        first = _bits(digest, MILLISECONDS_BITS, HASH_BITS)
    else:
        first = max(0, int(turn.said_at.timestamp() * 1000)) & (1 << MILLISECONDS_BITS) - 1
    high = turn.index >> LOW_INDEX_BITS & (1 << HIGH_INDEX_BITS) - 1
    low = turn.index & (1 << LOW_INDEX_BITS) - 1
    return UUID(int=first << 80 | 8 << 76 | high << 64 | 2 << 62 | low << HASH_BITS | _bits(digest, HASH_BITS))


def copied_id(tenant_id: str, original: UUID) -> UUID:
    """Return an id for another tenant's copy. It sorts like the original: the first 96 bits are time and counter."""
    mask = _bits(_digest(tenant_id), COPY_BITS) or 1
    return UUID(int=original.int ^ mask)


class Clock:
    """The times of turns. A turn without one follows its predecessor in the conversation, or else the file's time."""

    def __init__(self, file_time: float, now: datetime) -> None:
        """`file_time`: the file's modification time, in seconds since 1970."""
        self._free = min(datetime.fromtimestamp(file_time, UTC), now)
        self._said_at = self._free
        self._conversation: str | None = None
        self._timed = False

    def time_of(self, turn: Turn) -> datetime:
        """Return a turn's time. Call it in the order of the file."""
        if turn.said_at is not None:
            self._said_at, self._timed = turn.said_at, True
        elif turn.conversation_id == self._conversation and self._timed:
            self._said_at += TICK
        else:
            self._free += TICK
            self._said_at, self._timed = self._free, False
        self._conversation = turn.conversation_id
        return self._said_at


def _digest(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest())


def _bits(number: int, count: int, skipped: int = 0) -> int:
    return number >> skipped & (1 << count) - 1
