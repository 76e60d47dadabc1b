"""When a replica pushes, and what."""

from structlog.testing import capture_logs

from deployments.runtime.metrics.push import HEARTBEAT_SECONDS
from tests.unit.metrics.fleet import DONE, Fleet


async def test_pushes_that_failed_are_repeated_and_warned_of_once() -> None:
    fleet = Fleet(2)
    fleet.replicas[0].done.inc()
    await fleet.live()
    fleet.away = True
    with capture_logs() as logs:
        fleet.replicas[0].done.inc(5)
        await fleet.live()
        fleet.away = False
        await fleet.live()

    assert fleet.done == 6
    assert [line["event"] for line in logs] == ["metrics_not_pushed"] * 2 + ["metrics_pushed_again"] * 2


async def test_a_push_whose_acknowledgement_is_lost_is_repeated_as_it_was_and_added_once() -> None:
    fleet = Fleet(1)
    (replica,) = fleet.replicas
    replica.done.inc(7)
    fleet.acknowledges = False
    await fleet.live(1)
    replica.done.inc(3)
    fleet.acknowledges = True
    await fleet.live(1)

    assert fleet.done == 10
    first, repeated, next_one = fleet.pushes
    assert first == repeated
    assert (next_one.number, next_one.snapshot["done"].values[DONE]) == (2, 3)


async def test_a_replica_that_was_frozen_for_long_is_not_counted_twice_when_it_returns() -> None:
    fleet = Fleet(2)
    for replica in fleet.replicas:
        replica.done.inc(10)
    await fleet.live()
    frozen = fleet.replicas.pop()
    await fleet.live(100 * HEARTBEAT_SECONDS)
    assert fleet.done == 20

    frozen.done.inc(3)
    fleet.replicas.append(frozen)
    await fleet.live()
    assert fleet.done == 23


async def test_a_push_says_also_what_was_not_counted() -> None:
    """New totals know all series again with the next heartbeat, and the first count is an increase."""
    fleet = Fleet(1)
    await fleet.live()

    assert len(fleet.pushes) == 2
    assert fleet.pushes[-1].snapshot["done"].values == {DONE: 0}


async def test_where_nothing_happens_a_heartbeat_alone_is_pushed() -> None:
    fleet = Fleet(4)
    await fleet.live()
    fleet.pushes.clear()
    for _ in range(int(HEARTBEAT_SECONDS)):
        for replica in fleet.replicas:
            replica.spent.inc()
        await fleet.live(3)

    assert len(fleet.pushes) == 3 * 4


async def test_each_second_in_which_something_happens_is_pushed() -> None:
    fleet = Fleet(1)
    await fleet.live()
    fleet.pushes.clear()
    for _ in range(20):
        fleet.replicas[0].done.inc()
        await fleet.live(1)

    assert len(fleet.pushes) == 20
