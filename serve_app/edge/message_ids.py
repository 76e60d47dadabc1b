"""Ids of the messages that a request stores, the same in each of HAProxy's attempts: so its retries are idempotent."""

from collections.abc import Iterator
from itertools import count, repeat
from uuid import UUID

# RFC 9562, section 5.7: 48 bits of milliseconds since 1970, version, 12 random bits, variant, 62 random bits.
_MILLISECONDS = 80
_VERSION_7 = 7 << 76
_VARIANT = 2 << 62
_RANDOM_A = 0xFFF << 64
_RANDOM_B = (1 << 62) - 1


def message_ids(delivery: str | None) -> Iterator[UUID | None]:
    """Yield UUIDs of version 7, derived from a delivery id: `milliseconds since 1970` `.` `UUID`. None yields Nones.

    A request that did not come through HAProxy has no delivery id and only one attempt. Raises `ValueError`.
    """
    if delivery is None:
        return repeat(None)
    milliseconds, _, name = delivery.partition(".")
    drawn = UUID(name).int
    first = int(milliseconds) << _MILLISECONDS | _VERSION_7 | drawn & _RANDOM_A | _VARIANT
    return (UUID(int=first | (drawn + place) & _RANDOM_B) for place in count())
