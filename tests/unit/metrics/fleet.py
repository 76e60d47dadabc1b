"""Replicas that push to a ledger, and the ledger dying under them, with a clock that the test moves."""

from prometheus_client import CollectorRegistry, Counter, Gauge

from deployments.errors import UnavailableError
from deployments.metrics.ledger import HEARTBEAT_SECONDS, PUSH_SECONDS, SETTLE_SECONDS, Ledger, Push, Receipt
from deployments.metrics.reporter import MetricsReporter
from deployments.metrics.snapshot import Snapshot

DONE = ("done_total", ())
BUSY = ("busy", ())


class Replica:
    """One that counts what it does, and says how busy it is."""

    def __init__(self, fleet: "Fleet") -> None:
        registry = CollectorRegistry()
        self.done = Counter("done", "What was done", registry=registry)
        self.busy = Gauge("busy", "What is being done", registry=registry)
        self.spent = Counter("replica_cpu_seconds", "What goes on for as long as it lives", registry=registry)
        self.reporter = MetricsReporter(registry, fleet.push, clock=fleet.clock)


class Fleet:
    """Replicas and the one ledger. `ledger` of None: it is away."""

    def __init__(self, size: int) -> None:
        self.now = 0.0
        self.ledger: Ledger | None = Ledger(self.clock)
        self.replicas = [Replica(self) for _ in range(size)]
        self.pushes = 0

    def clock(self) -> float:
        return self.now

    async def push(self, push: Push) -> Receipt:
        if self.ledger is None:
            raise UnavailableError("It is away.")
        self.pushes += 1
        return self.ledger.hear(push)

    def replace_ledger(self) -> None:
        """It dies, and another begins with nothing."""
        self.ledger = Ledger(self.clock)

    async def live(self, seconds: float = HEARTBEAT_SECONDS + SETTLE_SECONDS + 4 * PUSH_SECONDS) -> None:
        """Let time pass, in which each replica pushes with every second, if it has a reason to."""
        for _ in range(int(seconds / PUSH_SECONDS)):
            for replica in list(self.replicas):
                await replica.reporter.push_if_due()
                self.now += PUSH_SECONDS / len(self.replicas)

    def shown(self) -> Snapshot:
        assert self.ledger is not None
        return self.ledger.shown()

    @property
    def done(self) -> float:
        """What all have done, as it is shown."""
        return self.shown()["done"].values[DONE]

    @property
    def busy(self) -> float:
        """How busy all are, as it is shown."""
        return self.shown()["busy"].values[BUSY]
