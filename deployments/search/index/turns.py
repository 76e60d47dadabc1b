"""Which turn comes before and after which in a conversation."""

from collections.abc import Collection

import numpy as np
import numpy.typing as npt

from deployments.search.index.columns import Columns

# To pick the messages of a conversation reads all of the column; to order everything takes as long as so many times.
_PICKED_AT_MOST = 32
# Below so many slots everything is ordered at once.
_ORDERED_WHOLE = 2_000


def link(columns: Columns, slots: int, conversations: Collection[int]) -> None:
    """Set `previous` and `following` of the live messages of these conversations, facts aside, in the first `slots`."""
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
