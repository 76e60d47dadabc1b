"""The push of metrics from a replica to the Metrics deployment, and its timing."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias

from deployments.runtime.metrics.snapshot import Snapshot

# The push interval of a busy replica, and of an idle one.
PUSH_SECONDS = 1.0
HEARTBEAT_SECONDS = 5.0
# A push that takes longer has failed, and is retried a second later.
PUSH_TIMEOUT_SECONDS = 2.0
# After three missed heartbeats a replica is gone, or its gauges are stale.
GAUGES_EXPIRE_SECONDS = 3 * HEARTBEAT_SECONDS


@dataclass(frozen=True)
class Push:
    """Increments of a replica's counters and histograms since its previous push, and its current gauges.

    `number` is 1 for the first push of a replica and increases by one. A retried push is identical.
    """

    replica: str
    number: int
    snapshot: Snapshot


# Return when the push was accepted. Raise `UnavailableError` if that is not known.
SendPush: TypeAlias = Callable[[Push], Awaitable[None]]
