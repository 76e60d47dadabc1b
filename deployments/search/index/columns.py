"""Growable arrays with one value for each slot."""

import numpy as np
import numpy.typing as npt

# Arrays grow by an eighth more than needed, so that single inserts copy them rarely and little memory is unused.
_SPARE_SHARE = 8
_SPARE_LEAST = 16
# The time of an event that does not happen: the expiry of a message, or the end of a fact.
NEVER = np.iinfo(np.int64).max


class Columns:
    """Arrays of shape (capacity,), indexed by slot, that scoring reads without copying.

    vectors: shape (capacity, dimensions), zeros without an embedding. norms: squared lengths of the vectors, NaN
    without one. high, low: halves of ids. importances: NaN until scored. created: microseconds since 1970. offsets: of
    the sender's time zone, in minutes. lengths: in terms. conversations, who, owners: numbers assigned by the index.
    previous, following: slots of the neighboring turns, or -1. telling: see `says_when`. live: the slot holds a
    message. expires: microseconds since 1970, or NEVER. facts: the message is a fact. holds_from, holds_until: the
    validity span for `as_of` searches, in microseconds since 1970, end exclusive. fingerprints: hashes of the values
    that embedding and scoring do not change.
    """

    def __init__(self, dimensions: int) -> None:
        self.vectors = np.zeros((0, dimensions), dtype=np.float32)
        self.norms = np.zeros(0, dtype=np.float32)
        self.high, self.low = np.zeros(0, dtype=np.uint64), np.zeros(0, dtype=np.uint64)
        self.importances = np.zeros(0)
        self.created = np.zeros(0, dtype=np.int64)
        self.offsets = np.zeros(0, dtype=np.int16)
        self.lengths = np.zeros(0, dtype=np.float64)
        self.conversations = np.zeros(0, dtype=np.intp)
        self.who, self.owners = np.zeros(0, dtype=np.int32), np.zeros(0, dtype=np.int32)
        self.expires = np.zeros(0, dtype=np.int64)
        self.previous, self.following = np.zeros(0, dtype=np.intp), np.zeros(0, dtype=np.intp)
        self.telling, self.live = np.zeros(0, dtype=np.bool_), np.zeros(0, dtype=np.bool_)
        self.facts = np.zeros(0, dtype=np.bool_)
        self.holds_from, self.holds_until = np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
        self.fingerprints = np.zeros(0, dtype=np.int64)

    @property
    def nbytes(self) -> int:
        """Return the size of the arrays in bytes, including unused capacity."""
        return sum(column.nbytes for column in vars(self).values())

    def reserve(self, slots: int) -> None:
        """Grow the arrays to at least this many slots."""
        have = len(self.live)
        if slots <= have:
            return
        capacity = slots + slots // _SPARE_SHARE + _SPARE_LEAST
        for name, column in vars(self).items():
            grown = np.zeros((capacity, *column.shape[1:]), dtype=column.dtype)
            grown[:have] = column
            setattr(self, name, grown)

    def keep(self, slots: npt.NDArray[np.intp]) -> None:
        """Keep only these slots, renumbered in this order."""
        for name, column in vars(self).items():
            setattr(self, name, column[slots])
