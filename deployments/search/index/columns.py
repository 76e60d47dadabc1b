"""Growing arrays, one value for each slot."""

import numpy as np
import numpy.typing as npt

# An eighth more than is needed, so that what grows one by one is copied seldom and little memory is idle.
_SPARE_SHARE = 8
_SPARE_LEAST = 16
# The time of what does not come: that a message expires, or that a fact holds no more.
NEVER = np.iinfo(np.int64).max


class Columns:
    """Arrays of the shape (capacity,), of which slots are used from the first. Scoring reads them as they are.

    vectors: of the shape (capacity, dimensions), zeros where there is no embedding. norms: their squared lengths, NaN
    where there is none. high, low: the halves of ids. importances: NaN until scored. created: microseconds since 1970.
    offsets: of the sender's zone, in minutes. lengths: in terms. conversations, who, owners: numbers of the index.
    previous, following: slots of the turns beside, -1 where there is none. telling: see `says_when`. live: it holds a
    message. expires: microseconds since 1970, or NEVER. facts: it is a fact. holds_from, holds_until: microseconds
    since 1970 of the span in which a search as of a time finds it, the end exclusive. fingerprints: of all that does
    not change when a message is embedded or scored.
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
        """Return what the arrays take, in bytes, spare room included."""
        return sum(column.nbytes for column in vars(self).values())

    def reserve(self, slots: int) -> None:
        """Make room for so many slots."""
        have = len(self.live)
        if slots <= have:
            return
        capacity = slots + slots // _SPARE_SHARE + _SPARE_LEAST
        for name, column in vars(self).items():
            grown = np.zeros((capacity, *column.shape[1:]), dtype=column.dtype)
            grown[:have] = column
            setattr(self, name, grown)

    def keep(self, slots: npt.NDArray[np.intp]) -> None:
        """Keep these slots alone, and number them anew in this order."""
        for name, column in vars(self).items():
            setattr(self, name, column[slots])
