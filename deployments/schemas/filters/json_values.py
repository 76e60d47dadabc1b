"""Compares JSON values as jsonb does, except times: equality, order and containment. Pure functions."""

import re
from collections.abc import Hashable
from datetime import datetime
from typing import Any

from deployments.epoch import micros

# ISO 8601 with an offset and an existing calendar day: SQL casts every match, and a failing cast would fail the search.
# The pattern uses only syntax that Python and Postgres share.
_DAYS = (
    "(?!0000)(?:[0-9]{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"
    "|02-(?:0[1-9]|1[0-9]|2[0-8]))|(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)-02-29)"
)
_CLOCK = "(?:[01][0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9](?:[.][0-9]+)?)?"
_OFFSET = "(?:Z|[+-](?:0[0-9]|1[0-4])(?::?[0-5][0-9])?)"
TIME_PATTERN = f"^{_DAYS}[T ]{_CLOCK}{_OFFSET}$"
_TIME = re.compile(TIME_PATTERN.removeprefix("^").removesuffix("$"))


def instant(value: object) -> int | None:
    """Return a string's time in microseconds since 1970, or None if it is not ISO 8601 with an offset."""
    # Most strings do not begin with a year. This check is ten times as fast as the regular expression.
    if not isinstance(value, str) or value[4:5] != "-" or not _TIME.fullmatch(value):
        return None
    return micros(datetime.fromisoformat(value))


def is_number(value: object) -> bool:
    """Return whether a value is a JSON number. Booleans are not."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def identity(value: Any) -> Hashable:
    """Return a hashable key that is equal only for equal JSON values: 1 equals 1.0, and neither equals true."""
    if isinstance(value, bool):
        return bool, value
    if isinstance(value, list):
        return list, tuple(map(identity, value))
    if isinstance(value, dict):
        return dict, frozenset((key, identity(part)) for key, part in value.items())
    plain: Hashable = value
    return plain


def equal(value: Any, operand: Any) -> bool:
    """Return whether two values are equal. Times are equal if they are the same instant."""
    when = instant(operand)
    if when is not None and instant(value) == when:
        return True
    return identity(value) == identity(operand)


def contains(value: Any, operand: Any) -> bool:
    """Return whether a list has an element equal to the operand, or a string has it as a substring."""
    if isinstance(value, list):
        return any(equal(each, operand) for each in value)
    return isinstance(value, str) and isinstance(operand, str) and operand in value


def holds(value: Any, part: Any) -> bool:
    """Return whether a value contains all of `part`, like jsonb's `@>` inside an object."""
    if isinstance(part, dict):
        return isinstance(value, dict) and all(key in value and holds(value[key], each) for key, each in part.items())
    if isinstance(part, list):
        return isinstance(value, list) and all(any(holds(each, wanted) for each in value) for wanted in part)
    return identity(value) == identity(part)
