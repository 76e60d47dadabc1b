"""Evaluates a search's filters on an in-memory index."""

import operator
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from functools import reduce
from typing import Any

import numpy as np

from deployments.epoch import micros
from deployments.schemas.filters.containment import conditions_of
from deployments.schemas.filters.json_values import instant
from deployments.schemas.filters.namespaces import is_below, path_prefix
from deployments.schemas.filters.where import AllOf, Condition, Field, Kind, Not, Operator, Where
from deployments.schemas.search import SearchRequest
from deployments.search.index.columns import NEVER
from deployments.search.index.holding import there
from deployments.search.index.metadata_columns import ORDERS, Bools, Order
from deployments.search.index.tenant_index import TenantIndex


def passing(index: TenantIndex, request: SearchRequest, now: datetime) -> Bools:
    """Return which slots hold a message that passes the filters and has not expired, shape (slots,)."""
    mask = _by_columns(index, request)
    if index.expiring:
        mask &= index.columns.expires[: index.slots] > micros(now)
    _narrow_by_names(index, request, mask)
    if (held := there(index.columns, index.slots, request)) is not None:
        mask &= held
    for condition in conditions_of(request.metadata or {}):
        mask &= _condition(index, condition)
    if request.where is not None:
        mask &= _where(index, request.where)
    return mask


def _by_columns(index: TenantIndex, request: SearchRequest) -> Bools:
    columns, slots = index.columns, index.slots
    mask = index.live.copy()
    if request.min_importance is not None:
        # Unscored messages pass: NaN is not less than anything.
        mask &= ~(columns.importances[:slots] < request.min_importance)
    if request.created_after is not None:
        mask &= columns.created[:slots] >= micros(request.created_after)
    if request.created_before is not None:
        mask &= columns.created[:slots] < micros(request.created_before)
    return mask


def _narrow_by_names(index: TenantIndex, request: SearchRequest, mask: Bools) -> None:
    columns, slots = index.columns, index.slots
    if request.conversation_id is not None:
        mask &= columns.conversations[:slots] == index.conversations.get(request.conversation_id, -1)
    prefix = path_prefix(request.conversation_prefix)
    if prefix is not None:
        mask &= _picked([is_below(name, prefix) for name in index.conversation_names], columns.conversations[:slots])
    if request.role is not None:
        mask &= _picked([speaker.role == request.role for speaker in index.speakers], columns.who[:slots])
    if request.user_id is not None:
        mask &= _picked([owner.user_id == request.user_id for owner in index.owners], columns.owners[:slots])
    if request.agent_id is not None:
        mask &= _picked([owner.agent_id == request.agent_id for owner in index.owners], columns.owners[:slots])


def _picked(chosen: Sequence[bool], numbers: Any) -> Bools:
    """Return whether each number is chosen, in the shape of `numbers`."""
    return np.array(chosen, dtype=np.bool_)[numbers] if chosen else np.zeros(len(numbers), dtype=np.bool_)


def _where(index: TenantIndex, where: Where) -> Bools:
    if isinstance(where, Not):
        return ~_where(index, where.part)
    if isinstance(where, Condition):
        return _condition(index, where)
    parts: Iterable[Bools] = (_where(index, part) for part in where.parts)
    if isinstance(where, AllOf):
        return reduce(np.logical_and, parts, np.ones(index.slots, dtype=np.bool_))
    return reduce(np.logical_or, parts)


def _condition(index: TenantIndex, condition: Condition) -> Bools:
    if not isinstance(condition.target, Field):
        column = index.metadata.column(condition.target.keys, lambda: [text.metadata for text in index.texts])
        return column.select(condition, index.slots)
    if condition.target.kind is Kind.TEXT:
        return _of_text(index, condition.target.name, _text_test(condition.operator, condition.operand))
    return _of_number(index, condition.target, condition.operator, condition.operand)


def _of_text(index: TenantIndex, name: str, test: Callable[[str | None], bool]) -> Bools:
    columns, slots = index.columns, index.slots
    if name == "external_id":
        return np.fromiter((test(text.external_id) for text in index.texts), np.bool_, slots)
    if name == "conversation_id":
        return _picked(list(map(test, index.conversation_names)), columns.conversations[:slots])
    if name in ("user_id", "agent_id"):
        return _picked([test(getattr(owner, name)) for owner in index.owners], columns.owners[:slots])
    return _picked([test(getattr(speaker, name)) for speaker in index.speakers], columns.who[:slots])


def _text_test(operator: Operator, operand: Any) -> Callable[[str | None], bool]:
    if operator is Operator.EXISTS:
        return lambda text: (text is not None) == operand
    if operator is Operator.IN:
        return lambda text: text in operand
    if operator is Operator.EQ:
        return lambda text: text == operand
    if operator is Operator.CONTAINS:
        return lambda text: text is not None and operand in text
    order = ORDERS[operator]
    return lambda text: text is not None and order(text, operand)


def _of_number(index: TenantIndex, field: Field, operation: Operator, operand: Any) -> Bools:
    """Return which slots of a time or number column meet a condition. Missing values are NaN or NEVER."""
    columns = {"created_at": "created", "expires_at": "expires", "importance": "importances"}
    column = getattr(index.columns, columns[field.name])[: index.slots]
    present: Bools = ~np.isnan(column) if field.kind is Kind.NUMBER else column != NEVER
    if operation is Operator.EXISTS:
        return present if operand else ~present
    if operation is Operator.IN:
        parts = (_of_number(index, field, Operator.EQ, each) for each in operand)
        return reduce(np.logical_or, parts, np.zeros(index.slots, dtype=np.bool_))
    if operand is None:
        return ~present
    other = instant(operand) if field.kind is Kind.TIME else operand
    order: Order = ORDERS.get(operation, operator.eq)
    compared: Bools = order(column, other)
    return present & compared
