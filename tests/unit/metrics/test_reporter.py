"""A replica's pushes: none is needed, and none counts twice."""

from structlog.testing import capture_logs

from deployments.metrics.ledger import GONE_SECONDS, HEARTBEAT_SECONDS
from tests.unit.metrics.fleet import Fleet


async def test_pushes_that_failed_are_in_the_next_one_and_warned_of_once() -> None:
    fleet = Fleet(2)
    fleet.replicas[0].done.inc()
    await fleet.live()
    ledger, fleet.ledger = fleet.ledger, None
    with capture_logs() as logs:
        fleet.replicas[0].done.inc(5)
        await fleet.live()
        fleet.ledger = ledger
        await fleet.live()

    assert fleet.done == 6
    assert [line["event"] for line in logs] == ["metrics_not_pushed"] * 2 + ["metrics_pushed_again"] * 2


async def test_a_replica_that_was_taken_for_gone_is_not_counted_twice_when_it_returns() -> None:
    fleet = Fleet(2)
    for replica in fleet.replicas:
        replica.done.inc(10)
    await fleet.live()
    frozen = fleet.replicas.pop()
    await fleet.live(GONE_SECONDS + 10)
    assert fleet.done == 20

    frozen.done.inc(3)
    fleet.replicas.append(frozen)
    await fleet.live()
    assert fleet.done == 23


async def test_a_replica_that_was_away_for_long_is_not_counted_twice_either() -> None:
    """It comes back under another name while the ledger still has it under the first one."""
    fleet = Fleet(2)
    for replica in fleet.replicas:
        replica.done.inc(10)
    await fleet.live()
    frozen = fleet.replicas.pop()
    await fleet.live(GONE_SECONDS * 0.75)

    frozen.done.inc(3)
    fleet.replicas.append(frozen)
    await fleet.live(GONE_SECONDS)
    assert fleet.done == 23


async def test_where_nothing_happens_little_is_pushed() -> None:
    """Three heartbeats, each of which is confirmed by those who keep the checkpoint that comes of it."""
    fleet = Fleet(6)
    await fleet.live()
    fleet.pushes = 0
    for _ in range(int(HEARTBEAT_SECONDS)):
        for replica in fleet.replicas:
            replica.spent.inc()
        await fleet.live(3)

    assert fleet.pushes <= 3 * (6 + 3)


async def test_each_second_in_which_something_happens_is_pushed() -> None:
    fleet = Fleet(1)
    await fleet.live()
    fleet.pushes = 0
    for _ in range(20):
        fleet.replicas[0].done.inc()
        await fleet.live(1)

    assert fleet.pushes == 20
