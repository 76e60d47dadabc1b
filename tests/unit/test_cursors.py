"""Cursors come back as what they were made from, and as nothing else."""

import re
from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import pytest

from deployments.errors import InvalidRequestError
from serve_app.routes.cursors import decode_cursor, encode_cursor

WHEN = datetime(2024, 2, 29, 23, 59, 59, 123456, tzinfo=UTC)


@pytest.mark.parametrize("key", ["0199d2a4-7a52-7c3e-9b1f-2f9f3f6f8a10", "a|b", "ä 世界 🌍", "", "|", "x" * 255])
def test_a_cursor_holds_time_and_key(key: str) -> None:
    assert decode_cursor(encode_cursor(WHEN, key, "messages"), "messages", str) == (WHEN, key)


def test_the_moment_counts_and_not_its_zone() -> None:
    elsewhere = WHEN.astimezone(timezone(timedelta(hours=5, minutes=30)))

    assert encode_cursor(elsewhere, "k", "messages") == encode_cursor(WHEN, "k", "messages")


def test_a_cursor_needs_no_escaping_in_a_url() -> None:
    for number in range(50):
        assert re.fullmatch(r"[A-Za-z0-9_-]+", encode_cursor(WHEN, "ÿ" * number, "messages"))


@pytest.mark.parametrize("listing", ["", "message", "messages ", "messages\0other"])
def test_a_cursor_of_another_listing_is_refused(listing: str) -> None:
    with pytest.raises(InvalidRequestError):
        decode_cursor(encode_cursor(WHEN, "k", "messages"), listing, str)


def test_a_cursor_with_any_character_changed_or_cut_is_refused() -> None:
    cursor = encode_cursor(WHEN, "0199d2a4-7a52-7c3e-9b1f-2f9f3f6f8a1", "messages")
    changed = [cursor[:at] + ("B" if cursor[at] == "A" else "A") + cursor[at + 1 :] for at in range(len(cursor) - 1)]
    cut = [cursor[:end] for end in range(len(cursor))]

    for bad in changed + cut:
        with pytest.raises(InvalidRequestError):
            decode_cursor(bad, "messages", str)


@pytest.mark.parametrize("nonsense", ["", "A", "AAAA", "====", "ä", "\0", "+/+/", "a b", "A" * 5_000])
def test_nonsense_is_refused(nonsense: str) -> None:
    with pytest.raises(InvalidRequestError):
        decode_cursor(nonsense, "messages", str)


def test_a_key_that_cannot_be_read_is_refused() -> None:
    forged = encode_cursor(WHEN, "not-a-uuid", "messages")

    with pytest.raises(InvalidRequestError):
        decode_cursor(forged, "messages", UUID)
