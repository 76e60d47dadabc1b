"""Cursors: where a page ended, in a form that clients hand back unread."""

import base64
import binascii
import hashlib
from datetime import UTC, datetime

from deployments.errors import InvalidRequestError

_CHECK_BYTES = 8


def encode_cursor(when: datetime, key: str, listing: str) -> str:
    """A cursor behind the item (when, key) of a listing. `listing` names what is listed, filters included."""
    position = f"{when.astimezone(UTC).isoformat()}|{key}".encode()
    return base64.urlsafe_b64encode(_check(position, listing) + position).decode().rstrip("=")


def decode_cursor(cursor: str, listing: str) -> tuple[datetime, str]:
    """What `encode_cursor` was given. Raises `InvalidRequestError` for what it did not make for this listing.

    The check value guards against mistakes, such as a cursor of another listing. It is no secret and need not be:
    a forged cursor starts the page elsewhere in what its sender may read anyway.
    """
    foreign = InvalidRequestError("The cursor is not one that this listing gave out.")
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    except (ValueError, binascii.Error):
        raise foreign from None
    check, position = raw[:_CHECK_BYTES], raw[_CHECK_BYTES:]
    if check != _check(position, listing):
        raise foreign
    when, _, key = position.decode().partition("|")
    return datetime.fromisoformat(when), key


def _check(position: bytes, listing: str) -> bytes:
    return hashlib.blake2b(position + b"\0" + listing.encode(), digest_size=_CHECK_BYTES).digest()
