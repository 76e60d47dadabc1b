"""Totals over all replicas, including those that have ended. No Ray: the caller passes the clock."""

from collections.abc import Callable
from dataclasses import dataclass

from deployments.runtime.metrics.push import GAUGES_EXPIRE_SECONDS, Push
from deployments.runtime.metrics.snapshot import Snapshot, add, counted, gauges, total


@dataclass(frozen=True)
class _Gauges:
    snapshot: Snapshot
    expire_at: float


class Totals:
    """Adds increments to its totals, and keeps the last gauges of each replica.

    The totals die with their process, and the next one begins at zero: a counter reset, as Prometheus expects it.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        """`clock`: monotonic seconds."""
        self._clock = clock
        self._counted: Snapshot = {}
        self._gauges: dict[str, _Gauges] = {}
        # Never pruned, since a replica may retry a push after any time. An entry costs about 200 bytes.
        self._numbers: dict[str, int] = {}
        self._shown: Snapshot | None = None

    def add(self, push: Push) -> None:
        """Add a push to the totals, unless it was added before."""
        if push.number <= self._numbers.get(push.replica, 0):
            return
        self._numbers[push.replica] = push.number
        add(self._counted, counted(push.snapshot))
        self._gauges[push.replica] = _Gauges(gauges(push.snapshot), self._clock() + GAUGES_EXPIRE_SECONDS)
        self._shown = None

    def shown(self) -> Snapshot:
        """Return the totals: the same object until they change."""
        now = self._clock()
        present = {replica: each for replica, each in self._gauges.items() if now < each.expire_at}
        if self._shown is None or len(present) < len(self._gauges):
            self._gauges = present
            self._shown = total([self._counted, *(each.snapshot for each in present.values())])
        return self._shown
