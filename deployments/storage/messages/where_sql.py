"""Translation of `where` to an SQL condition on a message `m`. Everything that a client sent is a parameter.

Each comparison is true or false, never unknown, so that `NOT` means all other messages.
"""

from typing import Any, NamedTuple

import orjson

from deployments.schemas.filters.json_values import TIME_PATTERN, instant, is_number
from deployments.schemas.filters.where import AllOf, AnyOf, Condition, Field, Kind, Not, Operator, Where
from deployments.storage.postgres.named_queries import Sql

_SIGNS = {Operator.GT: ">", Operator.GTE: ">=", Operator.LT: "<", Operator.LTE: "<="}
_FIELDS = {"importance": "coalesce(m.importance_override, m.importance)"}
_CASTS = {Kind.TEXT: "text", Kind.TIME: "timestamptz", Kind.NUMBER: "float8"}


class WhereSql(NamedTuple):
    """An SQL condition and its `:where_values`."""

    text: Sql
    values: list[str]


EVERYTHING = WhereSql(Sql("true"), [])


def where_sql(where: Where | None) -> WhereSql:
    """Return the condition on messages `m`. None: all match."""
    if where is None:
        return EVERYTHING
    writer = _Writer()
    return WhereSql(Sql(writer.write(where)), writer.values)


class _Writer:
    def __init__(self) -> None:
        self.values: list[str] = []

    def write(self, where: Where) -> str:
        if isinstance(where, Not):
            return f"NOT {self.write(where.part)}"
        if isinstance(where, AllOf):
            return f"({' AND '.join(map(self.write, where.parts)) or 'true'})"
        if isinstance(where, AnyOf):
            return f"({' OR '.join(map(self.write, where.parts))})"
        return f"({self._condition(where)}) IS TRUE"

    def _condition(self, condition: Condition) -> str:
        target, operator, operand = condition.target, condition.operator, condition.operand
        if isinstance(target, Field):
            return self._of_field(_FIELDS.get(target.name, f"m.{target.name}"), target.kind, operator, operand)
        return self._of_json(
            f"m.metadata{''.join(f' -> {self._value(key)}' for key in target.keys)}", operator, operand
        )

    def _of_field(self, column: str, kind: Kind, operator: Operator, operand: Any) -> str:
        if operator is Operator.EXISTS:
            return f"{column} IS {'NOT ' if operand else ''}NULL"
        if operator is Operator.IN:
            return self._any(self._of_field(column, kind, Operator.EQ, each) for each in operand)
        if operator is Operator.EQ and operand is None:
            return f"{column} IS NULL"
        if operator is Operator.CONTAINS:
            return f"strpos({column}, {self._value(operand)}) > 0"
        other = self._time(self._value(operand)) if kind is Kind.TIME else f"{self._value(operand)}::{_CASTS[kind]}"
        collation = ' COLLATE "C"' if kind is Kind.TEXT else ""
        return f"{column}{collation} {_SIGNS.get(operator, '=')} {other}"

    def _of_json(self, value: str, operator: Operator, operand: Any) -> str:
        if operator is Operator.EXISTS:
            return f"({value}) IS {'NOT ' if operand else ''}NULL"
        if operator is Operator.IN:
            return self._any(self._of_json(value, Operator.EQ, each) for each in operand)
        if operator is Operator.EQ:
            return self._equal(value, operand)
        if operator is Operator.CONTAINS:
            return self._contains(value, operand)
        sign = _SIGNS[operator]
        if is_number(operand):
            return f"CASE WHEN jsonb_typeof({value}) = 'number' THEN ({value}) {sign} {self._json(operand)} END"
        text = f"({value}) #>> '{{}}'"
        ordered = f'({text}) COLLATE "C" {sign} {self._value(operand)}'
        if instant(operand) is not None:
            ordered = f"CASE WHEN {self._is_time(text)} THEN {self._times(text, sign, operand)} ELSE {ordered} END"
        return f"CASE WHEN jsonb_typeof({value}) = 'string' THEN {ordered} END"

    def _equal(self, value: str, operand: Any) -> str:
        if operand is None:
            return f"coalesce({value}, 'null') = 'null'"
        if instant(operand) is None:
            return f"({value}) = {self._json(operand)}"
        text = f"({value}) #>> '{{}}'"
        return (
            f"CASE WHEN jsonb_typeof({value}) = 'string' AND {self._is_time(text)} "
            f"THEN {self._times(text, '=', operand)} END"
        )

    def _contains(self, value: str, operand: Any) -> str:
        equal = self._equal("element", operand)
        element = f"(SELECT bool_or({equal}) FROM jsonb_array_elements({value}) AS element)"  # noqa: S608 # nosec B608
        text = ""
        if isinstance(operand, str):
            text = f" WHEN 'string' THEN strpos(({value}) #>> '{{}}', {self._value(operand)}) > 0"
        return f"CASE jsonb_typeof({value}) WHEN 'array' THEN {element}{text} END"

    def _any(self, conditions: Any) -> str:
        return " OR ".join(f"({each}) IS TRUE" for each in conditions) or "false"

    def _times(self, text: str, sign: str, operand: str) -> str:
        return f"{self._time(text)} {sign} {self._time(self._value(operand))}"

    def _is_time(self, text: str) -> str:
        return f"({text}) ~ {self._value(TIME_PATTERN)}"

    def _time(self, text: str) -> str:
        # Postgres rounds to microseconds, and Python truncates.
        return f"regexp_replace({text}, '([.][0-9]{{6}})[0-9]+', '\\1')::timestamptz"

    def _json(self, operand: Any) -> str:
        return f"{self._value(orjson.dumps(operand).decode())}::jsonb"

    def _value(self, value: object) -> str:
        text = value if isinstance(value, str) else orjson.dumps(value).decode()
        if text not in self.values:
            self.values.append(text)
        return f"(:where_values::text[])[{self.values.index(text) + 1}]"
