"""Validity of messages and facts for searches with `as_of`."""

from collections.abc import Sequence
from datetime import datetime

import numpy as np
import numpy.typing as npt
import orjson

from deployments.epoch import micros
from deployments.schemas.facts import Kind
from deployments.schemas.search import SearchRequest
from deployments.search.index.columns import NEVER, Columns
from deployments.storage.search.message_changes import MessageRow


def spans(rows: Sequence[MessageRow]) -> tuple[list[int], list[int]]:
    """Return the validity of each row: a message from its time on, a fact while it holds.

    Starts and ends are in microseconds since 1970, ends exclusive.
    """
    both = [(micros(row.created_at), NEVER) if row.fact is None else _span(row.fact) for row in rows]
    return [start for start, _ in both], [end for _, end in both]


def there(columns: Columns, slots: int, request: SearchRequest) -> npt.NDArray[np.bool_] | None:
    """Return which slots match the requested kinds and times, shape (slots,), or None if all do."""
    facts, masks = columns.facts[:slots], []
    if request.kinds is not None and set(request.kinds) < set(Kind):
        masks.append(facts if Kind.FACT in request.kinds else ~facts)
    if request.as_of is not None:
        masks.append(facts | (columns.holds_from[:slots] <= micros(request.as_of)))
    if request.facts_as_of is not None and facts.any():
        masks.append(~facts | _holding(columns, slots, micros(request.facts_as_of)))
    return np.logical_and.reduce(masks) if masks else None


def apart(conversations: npt.NDArray[np.intp], facts: npt.NDArray[np.bool_]) -> npt.NDArray[np.intp]:
    """Return conversation numbers with a separate one for each fact, so that facts share no session score."""
    if not facts.any():
        return conversations
    own = np.arange(len(conversations)) + conversations.max(initial=-1) + 1
    return np.where(facts, own, conversations)


def _holding(columns: Columns, slots: int, when: int) -> npt.NDArray[np.bool_]:
    holding: npt.NDArray[np.bool_] = (columns.holds_from[:slots] <= when) & (when < columns.holds_until[:slots])
    return holding


def _span(fact: str) -> tuple[int, int]:
    described = orjson.loads(fact)
    ends = (described["valid_to"], described["superseded_at"])
    return _parsed(described["valid_from"]), min((_parsed(end) for end in ends if end is not None), default=NEVER)


def _parsed(when: str) -> int:
    return micros(datetime.fromisoformat(when))
