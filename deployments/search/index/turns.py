"""Links each turn to the previous and the following turn of its conversation."""

from collections.abc import Collection

import numpy as np
import numpy.typing as npt

from deployments.search.index.columns import Columns

# Selecting one conversation scans the whole column. Sorting everything takes as long as this many scans.
_PICKED_AT_MOST = 32
# Below this many slots everything is sorted at once.
_ORDERED_WHOLE = 2_000


def link(columns: Columns, slots: int, conversations: Collection[int]) -> None:
    """Set `previous` and `following` of these conversations' live messages, except facts, in the first `slots`."""
    live, of = columns.live[:slots] & ~columns.facts[:slots], columns.conversations[:slots]
    if len(conversations) > _PICKED_AT_MOST or slots < _ORDERED_WHOLE:
        _link(columns, np.flatnonzero(live))
        return
    for conversation in conversations:
        _link(columns, np.flatnonzero((of == conversation) & live))


def _link(columns: Columns, slots: npt.NDArray[np.intp]) -> None:
    """Link whole conversations: turns follow each other by time, then by id."""
    keys = (columns.low[slots], columns.high[slots], columns.created[slots], columns.conversations[slots])
    ordered = slots[np.lexsort(keys)]
    columns.previous[slots], columns.following[slots] = -1, -1
    before, after = ordered[:-1], ordered[1:]
    same = columns.conversations[before] == columns.conversations[after]
    columns.following[before[same]] = after[same]
    columns.previous[after[same]] = before[same]
