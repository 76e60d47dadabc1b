"""Computes the recall of a search. Pure functions."""

from collections.abc import Sequence
from math import isnan
from typing import NamedTuple

from deployments.storage.search.exact_order import FIRST, Measured

# Upper bounds of vectors (exclusive) with the names of the tenant sizes.
_SIZES = ((1_000, "under_1k"), (10_000, "1k_to_10k"), (100_000, "10k_to_100k"))
_LARGEST = "over_100k"
TENANT_SIZES = (*(name for _, name in _SIZES), _LARGEST)


class Recall(NamedTuple):
    """The number of nearest messages (ten, or all if there are fewer), and how many of them were found."""

    nearest: int
    found: int

    @property
    def share(self) -> float:
        """Return the recall, 0 to 1."""
        return self.found / self.nearest

    @property
    def missing(self) -> int:
        """Return how many were not found."""
        return self.nearest - self.found


def recall_at_10(measured: Sequence[Measured]) -> Recall | None:
    """Return the recall among the ten nearest messages, or None if no message has a distance.

    `measured`: all messages found, and the ten nearest of those not found. Messages tied with the tenth are as good
    as it. A zero vector has no cosine distance and is ignored.
    """
    known = [each for each in measured if not isnan(each.distance)]
    nearest = sorted(each.distance for each in known)[:FIRST]
    if not nearest:
        return None
    last = nearest[-1]
    nearer = sum(each.found for each in known if each.distance < last)
    as_far = sum(each.found for each in known if each.distance == last)
    return Recall(len(nearest), nearer + min(as_far, nearest.count(last)))


def tenant_size(embedded: int) -> str:
    """Return the name of the size of a tenant with `embedded` vectors."""
    return next((name for most, name in _SIZES if embedded < most), _LARGEST)
