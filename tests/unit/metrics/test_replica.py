"""What each replica tells of itself, and whether it does."""

import asyncio

import pytest
from prometheus_client import Counter

from deployments.runtime.metrics.push import Push
from deployments.runtime.metrics.replica import ReplicaMetrics


class Listener:
    """Notes what is pushed."""

    def __init__(self) -> None:
        self.pushes: list[Push] = []
        self.heard = asyncio.Event()

    async def push(self, push: Push) -> None:
        self.pushes.append(push)
        self.heard.set()


async def test_a_replica_pushes_what_it_measures_until_it_is_stopped() -> None:
    listener, metrics = Listener(), ReplicaMetrics("Search", enabled=True)
    metrics.watch_queue("embed", lambda: 7)
    metrics.report(listener.push)
    async with asyncio.timeout(10):
        await listener.heard.wait()
    await metrics.stop()
    values = listener.pushes[0].snapshot

    own = ("deployment", "Search")
    assert values["replicas"].values == {("replicas", (own,)): 1}
    assert values["queue_waiting"].values == {("queue_waiting", (own, ("queue", "embed"))): 7}
    assert values["replica_cpu_seconds"].values["replica_cpu_seconds_total", (own,)] > 0


async def test_the_last_that_a_replica_counts_is_pushed_when_it_is_stopped() -> None:
    listener, metrics = Listener(), ReplicaMetrics("Search", enabled=True)
    done = Counter("done", "What was done", registry=metrics.registry)
    metrics.report(listener.push)
    async with asyncio.timeout(10):
        await listener.heard.wait()
    done.inc()
    await metrics.stop()

    assert listener.pushes[-1].snapshot["done"].values["done_total", ()] == 1


async def test_a_push_that_breaks_in_the_end_keeps_nothing_else_from_ending() -> None:
    async def broken(push: Push) -> None:
        raise RuntimeError("A fault of ours.")

    metrics = ReplicaMetrics("Search", enabled=True)
    metrics.report(broken)
    await metrics.stop()

    assert metrics.reporting is not None
    assert metrics.reporting.done()


async def test_a_fault_does_not_end_the_pushing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deployments.runtime.metrics.reporter.PUSH_SECONDS", 0)
    listener, metrics = Listener(), ReplicaMetrics("Search", enabled=True)
    faults = [RuntimeError("A fault of ours.")]

    async def break_once(push: Push) -> None:
        if faults:
            raise faults.pop()
        await listener.push(push)

    metrics.report(break_once)
    async with asyncio.timeout(10):
        await listener.heard.wait()
    await metrics.stop()

    assert listener.pushes[0].number == 1


async def test_turned_off_it_pushes_nothing() -> None:
    listener, metrics = Listener(), ReplicaMetrics("Search", enabled=False)
    metrics.report(listener.push)
    await asyncio.sleep(0)

    assert metrics.reporting is None
    await metrics.stop()
    assert listener.pushes == []
