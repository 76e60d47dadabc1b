"""What a replica sends to the Metrics deployment, and how often."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias

from deployments.runtime.metrics.snapshot import Snapshot

# How often a replica pushes while something happens in it, and while nothing does.
PUSH_SECONDS = 1.0
HEARTBEAT_SECONDS = 5.0
# A push that takes longer has failed, and is repeated with the next second.
PUSH_TIMEOUT_SECONDS = 2.0
# A replica that missed three heartbeats is gone, or its gauges are not true any more.
GAUGES_EXPIRE_SECONDS = 3 * HEARTBEAT_SECONDS


@dataclass(frozen=True)
class Push:
    """Increments of the replica's counters and histograms since its push before this one, and its present gauges.

    `number` is 1 for the first push of a replica and grows by one with each. A repeated push is the same in all.
    """

    replica: str
    number: int
    snapshot: Snapshot


# Returns when the push was taken. Raises `UnavailableError` where it is not known whether it was.
SendPush: TypeAlias = Callable[[Push], Awaitable[None]]
