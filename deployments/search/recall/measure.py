"""How much of what is nearest a search found. Pure."""

from collections.abc import Sequence
from math import isnan
from typing import NamedTuple

from deployments.storage.search.exact_order import FIRST, Measured

# With fewer vectors than this a tenant is of that size.
_SIZES = ((1_000, "under_1k"), (10_000, "1k_to_10k"), (100_000, "10k_to_100k"))
_LARGEST = "over_100k"
TENANT_SIZES = (*(name for _, name in _SIZES), _LARGEST)


class Recall(NamedTuple):
    """How many messages are the nearest ones (ten, or all where there are fewer), and how many of them were found."""

    nearest: int
    found: int

    @property
    def share(self) -> float:
        """0 to 1."""
        return self.found / self.nearest

    @property
    def missing(self) -> int:
        """How many were not found."""
        return self.nearest - self.found


def recall_at_10(measured: Sequence[Measured]) -> Recall | None:
    """`measured`: all that was found, and the ten nearest of what was not. None where there is nothing to find.

    Those as far away as the tenth are as good as it; a vector without direction has no distance, and no place.
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
    """The name of the size of a tenant with so many vectors."""
    return next((name for most, name in _SIZES if embedded < most), _LARGEST)
