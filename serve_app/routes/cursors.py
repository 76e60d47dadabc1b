"""Cursors: the position at which a page ended, opaque to clients."""

import base64
import binascii
import hashlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Annotated, TypeVar

from fastapi import Query

from deployments.errors import InvalidRequestError
from deployments.schemas.messages import MAX_PAGE

Key = TypeVar("Key")
Item = TypeVar("Item")

_CHECK_BYTES = 8

# The number of items of a page, and the cursor of the page before.
Limit = Annotated[int, Query(ge=1, le=MAX_PAGE)]
Cursor = Annotated[str | None, Query(max_length=1024)]


def encode_cursor(when: datetime, key: str, listing: str) -> str:
    """Return a cursor behind the item (when, key) of a listing. `listing` names what is listed, filters included."""
    position = f"{when.astimezone(UTC).isoformat()}|{key}".encode()
    return base64.urlsafe_b64encode(_check(position, listing) + position).decode().rstrip("=")


def page_of(
    found: Sequence[Item], limit: int, listing: str, position: Callable[[Item], tuple[datetime, str]]
) -> tuple[list[Item], str | None]:
    """Return at most `limit` items and the cursor behind them, or None at the end of the listing.

    `found`: one item more than `limit` if there are more. `position`: returns the (when, key) of an item.
    """
    items = list(found[:limit])
    return items, encode_cursor(*position(items[-1]), listing) if len(found) > limit else None


def decode_cursor(cursor: str, listing: str, to_key: Callable[[str], Key]) -> tuple[datetime, Key]:
    """Return the (when, key) of a cursor. Raises `InvalidRequestError` for a cursor that is not of this listing.

    `to_key` parses the key and raises ValueError for an invalid one.

    The check value guards against mistakes, such as a cursor of another listing. It is no secret and need not be: a
    forged cursor only starts the page elsewhere in what its sender may read anyway.
    """
    foreign = InvalidRequestError("The cursor is not one that this listing gave out.")
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    except (ValueError, binascii.Error):
        raise foreign from None
    check, position = raw[:_CHECK_BYTES], raw[_CHECK_BYTES:]
    if check != _check(position, listing):
        raise foreign
    when, _, key = position.decode(errors="replace").partition("|")
    try:
        return datetime.fromisoformat(when).astimezone(UTC), to_key(key)
    except (ValueError, OverflowError):
        raise foreign from None


def _check(position: bytes, listing: str) -> bytes:
    return hashlib.blake2b(position + b"\0" + listing.encode(), digest_size=_CHECK_BYTES).digest()
