"""Parses `where`, conditions on fields and metadata, into a tree for SQL and for in-memory indexes.

`docs/filters.md` describes the operators.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple, TypeAlias

from deployments.schemas.filters.json_values import instant, is_number
from deployments.schemas.messages import Message, Role

MAX_WHERE_DEPTH = 8
MAX_CONDITIONS = 100
MAX_PATH_KEYS = 8


class Operator(StrEnum):
    """Comparison operators. `ne` and `nin` are parsed as `not` of `eq` and `in`; HOLDS is only for `metadata`."""

    EQ = "eq"
    GT = "gt"
    GTE = "gte"
    LT = "lt"
    LTE = "lte"
    IN = "in"
    EXISTS = "exists"
    CONTAINS = "contains"
    HOLDS = "holds"


class Kind(StrEnum):
    """Type of a field's values. A value may be missing, which counts as null."""

    TEXT = "text"
    TIME = "time"
    NUMBER = "number"


class Field(NamedTuple):
    """A field of a message."""

    name: str
    kind: Kind


class Path(NamedTuple):
    """A path in the metadata: the keys of nested objects."""

    keys: tuple[str, ...]


@dataclass(frozen=True)
class Condition:
    """One comparison. `operand`: JSON, of a type that the operator and the field take."""

    target: Field | Path
    operator: Operator
    operand: Any


@dataclass(frozen=True)
class AllOf:
    """True if all parts are true, or if there are none."""

    parts: tuple["Where", ...]


@dataclass(frozen=True)
class AnyOf:
    """True if at least one part is true."""

    parts: tuple["Where", ...]


@dataclass(frozen=True)
class Not:
    """True if the part is false."""

    part: "Where"


Where: TypeAlias = Condition | AllOf | AnyOf | Not

FIELDS: Mapping[str, Kind] = {
    **dict.fromkeys(("role", "name", "conversation_id", "user_id", "agent_id", "external_id"), Kind.TEXT),
    **dict.fromkeys(("created_at", "expires_at"), Kind.TIME),
    "importance": Kind.NUMBER,
}
OPERATORS = (*(each.value for each in Operator if each is not Operator.HOLDS), "ne", "nin")
LOGIC = ("and", "or", "not")
_ALIASES = {"importance_score": "importance"}
# Other field names are rejected: they would be read as metadata keys and never match.
_NO_FIELDS = set(Message.model_fields) - set(FIELDS) - set(_ALIASES) | {"message_id", "score", "similarity"}
_NEGATED = {"ne": Operator.EQ, "nin": Operator.IN}
_ORDERS = {Operator.GT, Operator.GTE, Operator.LT, Operator.LTE}
_DOT = re.compile(r"(?<!\\)\.")


def is_operator(key: str) -> bool:
    """Return whether a key looks like an operator of this language, or of another one with `$` operators."""
    return key.startswith("$") or key in OPERATORS or key.lower() in LOGIC


def parse_where(given: object) -> Where:
    """Return the parsed tree. Raises `ValueError` with the path and the reason of an error."""
    return _Parser().conjunction(given, "where", 1)


class _Parser:
    def __init__(self) -> None:
        self._conditions = 0

    def conjunction(self, given: object, at: str, depth: int) -> Where:
        if not isinstance(given, dict):
            raise ValueError(f"{at} must be an object")  # noqa: TRY004 - pydantic turns ValueErrors alone into a 422
        if depth > MAX_WHERE_DEPTH:
            raise ValueError(f"{at} is nested deeper than {MAX_WHERE_DEPTH} levels")
        parts = [self._entry(key, value, f"{at}.{key}", depth) for key, value in given.items()]
        return parts[0] if len(parts) == 1 else AllOf(tuple(parts))

    def _entry(self, key: str, value: object, at: str, depth: int) -> Where:
        word = key.removeprefix("$").lower()
        if word == "not":
            return Not(self.conjunction(value, at, depth + 1))
        if word in LOGIC:
            parts = self._parts(value, at, depth)
            return AllOf(parts) if word == "and" else AnyOf(parts)
        return self._field(_target(key, at), value, at)

    def _parts(self, value: object, at: str, depth: int) -> tuple[Where, ...]:
        if not isinstance(value, list) or not value:
            raise ValueError(f"{at} must be a list of at least one object")
        return tuple(self.conjunction(each, f"{at}[{place}]", depth + 1) for place, each in enumerate(value))

    def _field(self, target: Field | Path, value: object, at: str) -> Where:
        if not isinstance(value, dict):
            return self._condition(target, "eq", value, at)
        if not value:
            raise ValueError(f'{at} names no operator; a whole object is compared by {{"eq": {{...}}}}')
        parts = [
            self._condition(target, operator.removeprefix("$"), operand, f"{at}.{operator}")
            for operator, operand in value.items()
        ]
        return parts[0] if len(parts) == 1 else AllOf(tuple(parts))

    def _condition(self, target: Field | Path, name: str, operand: object, at: str) -> Where:
        if name not in OPERATORS:
            raise ValueError(f"{at} is not an operator; there are {', '.join(OPERATORS)}")
        self._conditions += 1
        if self._conditions > MAX_CONDITIONS:
            raise ValueError(f"where has more than {MAX_CONDITIONS} conditions")
        negated = _NEGATED.get(name)
        operator = negated or Operator(name)
        _check(target, operator, operand, at)
        condition = Condition(target, operator, operand)
        return Not(condition) if negated else condition


def _target(key: str, at: str) -> Field | Path:
    name = _ALIASES.get(key, key)
    if name in FIELDS:
        return Field(name, FIELDS[name])
    if key in _NO_FIELDS:
        written = "metadata.KEY" if key == "metadata" else f"metadata.{key}"
        raise ValueError(f"{at} is no field of where; a key of the metadata is written {written}")
    if is_operator(key):
        raise ValueError(f"{at} stands where a field is expected; a key of the metadata is written metadata.{key}")
    keys = tuple(each.replace("\\.", ".") for each in _DOT.split(key))
    keys = keys[1:] if keys[0] == "metadata" else keys
    if not all(keys) or len(keys) > MAX_PATH_KEYS:
        raise ValueError(f"{at} is not a path of 1 to {MAX_PATH_KEYS} keys that are joined by dots")
    return Path(keys)


def _check(target: Field | Path, operator: Operator, operand: object, at: str) -> None:
    """Raise `ValueError` for an operand whose type does not fit the target and the operator."""
    if operator is Operator.EXISTS:
        _demand(isinstance(operand, bool), at, "true or false")
    elif operator is Operator.IN:
        _demand(isinstance(operand, list), at, "a list")
        for place, each in enumerate(operand if isinstance(operand, list) else ()):
            _check(target, Operator.EQ, each, f"{at}[{place}]")
    elif isinstance(target, Field):
        _check_field(target, operator, operand, at)
    elif operator in _ORDERS:
        _demand(is_number(operand) or isinstance(operand, str), at, "a number or a string")


def _check_field(field: Field, operator: Operator, operand: object, at: str) -> None:
    if operator is Operator.CONTAINS and field.kind is not Kind.TEXT:
        raise ValueError(f"{at}: contains is for lists and strings")
    if operator is Operator.EQ and operand is None:
        return
    matches, expected = _OPERANDS[field.kind]
    _demand(matches(operand), at, expected)
    if field.name == "role" and operator is Operator.EQ:
        _demand(operand in tuple(Role), at, f"one of {', '.join(Role)}")


_OPERANDS: Mapping[Kind, tuple[Callable[[object], bool], str]] = {
    Kind.TEXT: (lambda operand: isinstance(operand, str), "a string"),
    Kind.TIME: (lambda operand: instant(operand) is not None, 'a time with an offset, such as "2026-05-07T12:00:00Z"'),
    Kind.NUMBER: (is_number, "a number"),
}


def _demand(met: bool, at: str, expected: str) -> None:
    if not met:
        raise ValueError(f"{at} must be {expected}")
