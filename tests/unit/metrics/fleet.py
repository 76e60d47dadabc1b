"""Replicas that push to the totals, which may be away or begin anew, with a clock that the test moves."""

from prometheus_client import CollectorRegistry, Counter, Gauge

from deployments.errors import UnavailableError
from deployments.metrics.totals import Totals
from deployments.runtime.metrics.push import HEARTBEAT_SECONDS, PUSH_SECONDS, Push
from deployments.runtime.metrics.reporter import MetricsReporter
from deployments.runtime.metrics.snapshot import Snapshot

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
    """Replicas and the one process with the totals."""

    def __init__(self, size: int) -> None:
        self.now = 0.0
        self.totals = Totals(self.clock)
        self.away = False
        self.acknowledges = True
        self.replicas = [Replica(self) for _ in range(size)]
        self.pushes: list[Push] = []

    def clock(self) -> float:
        return self.now

    async def push(self, push: Push) -> None:
        """Take a push, unless the totals are `away`; where they do not acknowledge, the replica cannot tell."""
        if self.away:
            raise UnavailableError("It is away.")
        self.pushes.append(push)
        self.totals.add(push)
        if not self.acknowledges:
            raise UnavailableError("It did not answer.")

    def replace_totals(self) -> None:
        """The process dies, and another begins with nothing."""
        self.totals = Totals(self.clock)

    async def live(self, seconds: float = HEARTBEAT_SECONDS + PUSH_SECONDS) -> None:
        """Let time pass, in which each replica pushes with every second, if it has a reason to."""
        for _ in range(int(seconds / PUSH_SECONDS)):
            for replica in list(self.replicas):
                await replica.reporter.push_if_due()
                self.now += PUSH_SECONDS / len(self.replicas)

    def shown(self) -> Snapshot:
        return self.totals.shown()

    @property
    def done(self) -> float:
        """What all have done, as it is shown."""
        return self.shown()["done"].values[DONE]

    @property
    def busy(self) -> float:
        """How busy all are, as it is shown."""
        return self.shown()["busy"].values[BUSY]
