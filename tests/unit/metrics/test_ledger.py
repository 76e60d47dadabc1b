"""Counters over all replicas never go down, whoever dies."""

from random import Random

import pytest

from deployments.errors import UnavailableError
from deployments.metrics.ledger import GONE_SECONDS, HEARTBEAT_SECONDS, PUSH_SECONDS, SETTLE_SECONDS, STANDS_SECONDS
from tests.unit.metrics.fleet import Fleet, Replica


async def working_fleet(size: int = 3) -> Fleet:
    """Each replica has done ten times as much as the one before, and does one thing; the ledger tells so."""
    fleet = Fleet(size)
    for place, replica in enumerate(fleet.replicas):
        replica.done.inc(10**place)
        replica.busy.set(1)
    await fleet.live()
    return fleet


async def test_what_all_have_done_is_added_up() -> None:
    fleet = await working_fleet()

    assert fleet.done == 111
    assert fleet.busy == 3


async def test_half_of_a_sum_is_never_told() -> None:
    fleet = Fleet(3)
    with pytest.raises(UnavailableError):
        fleet.shown()

    await fleet.live(SETTLE_SECONDS - 1)
    with pytest.raises(UnavailableError):
        fleet.shown()


async def test_a_replica_that_died_has_done_what_it_did_and_does_nothing_now() -> None:
    fleet = await working_fleet()
    fleet.replicas.pop()
    await fleet.live(STANDS_SECONDS + 4)

    assert fleet.done == 111
    assert fleet.busy == 2


async def test_what_those_did_who_are_gone_for_good_is_kept_as_one() -> None:
    fleet = await working_fleet()
    for _ in range(5):
        fleet.replicas.append(Replica(fleet))
        fleet.replicas[-1].done.inc(1000)
        await fleet.live()
        fleet.replicas.pop()
    await fleet.live(GONE_SECONDS + 10)

    assert fleet.done == 5111
    assert fleet.ledger is not None
    assert len(fleet.ledger._replicas) == 3


async def test_no_sum_of_fractions_falls_by_its_last_bit_when_one_is_gone_for_good() -> None:
    """To Prometheus that would be a reset, after which all is counted once more."""
    fleet, lowest = Fleet(5), 0.0
    fractions = Random(3)
    for replica in fleet.replicas:
        replica.done.inc(fractions.random())
    await fleet.live()
    for _ in range(4):
        fleet.replicas.pop()
        for _ in range(int(GONE_SECONDS) + 10):
            await fleet.live(PUSH_SECONDS)
            assert fleet.done >= lowest
            lowest = fleet.done


async def test_a_new_ledger_goes_on_where_the_last_one_died() -> None:
    fleet = await working_fleet()
    fleet.replicas.pop()
    await fleet.live(GONE_SECONDS + 10)
    fleet.replace_ledger()
    await fleet.live()

    assert fleet.done == 111


async def test_a_new_ledger_knows_what_a_replica_did_that_died_with_the_last_one() -> None:
    fleet = await working_fleet()
    shown = fleet.done
    fleet.replicas.pop()
    fleet.replace_ledger()
    await fleet.live()

    assert fleet.done == shown == 111


async def test_many_ledgers_may_follow_each_other() -> None:
    fleet = await working_fleet(5)
    for survivors in (4, 3, 2, 1):
        fleet.replicas.pop()
        fleet.replace_ledger()
        await fleet.live()
        assert len(fleet.replicas) == survivors
        assert fleet.done == 11111


@pytest.mark.parametrize("dead", [0, 1, 2, 3, 4])
async def test_no_scrape_ever_shows_less_than_one_before(dead: int) -> None:
    """Whichever replica dies together with the ledger, a keeper of checkpoints or not, at any moment of a second."""
    fleet = await working_fleet(5)
    scrapes = []
    for step in range(8):
        for replica in fleet.replicas:
            replica.done.inc()
            await replica.reporter.push_if_due()
            fleet.now += 0.2 - 0.01 * step
            scrapes.append(fleet.done)
    fleet.replicas.pop(dead)
    fleet.replace_ledger()
    await fleet.live()
    scrapes.append(fleet.done)

    assert scrapes == sorted(scrapes)
    assert scrapes[0] < scrapes[-1] <= 11111 + 40


async def test_the_newest_of_what_replicas_kept_is_taken() -> None:
    fleet = await working_fleet()
    sleeping = fleet.replicas.pop(0)
    fleet.replicas.append(Replica(fleet))
    fleet.replicas[-1].done.inc(1000)
    await fleet.live()
    fleet.replicas.pop()
    fleet.replicas.insert(0, sleeping)
    fleet.replace_ledger()
    await fleet.live()

    assert fleet.done == 1111


async def test_when_everybody_is_new_counting_begins_anew() -> None:
    await working_fleet()
    fleet = Fleet(1)
    await fleet.live()

    assert fleet.done == 0


async def test_a_push_that_was_overtaken_counts_for_nothing() -> None:
    fleet = Fleet(1)
    (replica,) = fleet.replicas
    late = replica.reporter._next({})
    replica.done.inc(7)
    await fleet.live()
    await fleet.push(late)
    await fleet.live(3)

    assert fleet.done == 7


async def test_a_ledger_that_dies_before_it_is_whole_has_handed_on_what_it_was_given() -> None:
    fleet = await working_fleet()
    newcomer = Replica(fleet)
    fleet.replicas.append(newcomer)
    fleet.replace_ledger()
    await fleet.live(SETTLE_SECONDS - 1)
    fleet.replicas = [newcomer]
    fleet.replace_ledger()
    await fleet.live()

    assert fleet.done == 111


async def test_what_happens_after_a_long_rest_is_told_two_seconds_later() -> None:
    fleet = await working_fleet()
    await fleet.live(GONE_SECONDS)
    fleet.replicas[1].done.inc()
    await fleet.live(3 * PUSH_SECONDS)

    assert fleet.done == 112


@pytest.mark.parametrize("place", range(5))
async def test_what_one_busy_replica_did_is_soon_kept_by_idle_ones_too(place: int) -> None:
    fleet = await working_fleet(5)
    busy = fleet.replicas[place]
    for _ in range(int(HEARTBEAT_SECONDS) + 4):
        busy.done.inc()
        await fleet.live(PUSH_SECONDS)
    shown = fleet.done
    fleet.replicas.remove(busy)
    fleet.replace_ledger()
    await fleet.live()

    assert fleet.done >= shown
