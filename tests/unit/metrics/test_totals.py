"""Totals hold what was counted, once, whoever dies; gauges are of those that live."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from deployments.runtime.metrics.push import GAUGES_EXPIRE_SECONDS
from deployments.runtime.metrics.snapshot import exposition
from tests.unit.metrics.fleet import Fleet

REPLICAS = 3
STEPS = st.lists(
    st.tuples(
        st.integers(0, REPLICAS - 1),
        st.sampled_from(["count", "push", "lose the push", "lose the acknowledgement", "repeat a push", "wait"]),
        st.integers(0, 20),
    ),
    max_size=40,
)


async def working_fleet(size: int = REPLICAS) -> Fleet:
    """Each replica has done ten times as much as the one before, and does one thing; the totals say so."""
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


async def take_step(fleet: Fleet, place: int, what: str, number: int) -> None:
    if what == "count":
        fleet.replicas[place].done.inc(number)
        fleet.replicas[place].busy.set(number)
    elif what == "repeat a push" and fleet.pushes:
        fleet.totals.add(fleet.pushes[number % len(fleet.pushes)])
    elif what == "wait":
        fleet.now += number
    else:
        fleet.away, fleet.acknowledges = what == "lose the push", what == "push"
        await fleet.replicas[place].reporter.push_if_due()


@given(STEPS)
def test_whatever_is_lost_or_repeated_totals_are_what_was_counted(steps: list[tuple[int, str, int]]) -> None:
    async def sums() -> tuple[float, float]:
        fleet = Fleet(REPLICAS)
        for step in steps:
            await take_step(fleet, *step)
        fleet.away, fleet.acknowledges = False, True
        fleet.now += GAUGES_EXPIRE_SECONDS
        for replica in fleet.replicas:
            await replica.reporter.push_if_due()
        return fleet.done, fleet.busy

    counts = [(place, number) for place, what, number in steps if what == "count"]
    # The gauges are those of the last time.
    assert asyncio.run(sums()) == (sum(number for _, number in counts), sum(dict(counts).values()))


async def test_a_replica_that_died_has_done_what_it_did_and_does_nothing_now() -> None:
    fleet = await working_fleet()
    fleet.replicas.pop()
    await fleet.live(GAUGES_EXPIRE_SECONDS + 1)

    assert fleet.done == 111
    assert fleet.busy == 2


async def test_gauges_of_the_dead_leave_also_where_nobody_pushes() -> None:
    fleet = await working_fleet()
    fleet.now += GAUGES_EXPIRE_SECONDS

    assert fleet.done == 111
    assert "busy" not in fleet.shown()


async def test_new_totals_begin_at_zero_and_count_what_comes_from_then_on() -> None:
    """Prometheus takes that for a reset. The whole counts of the replicas would look like so much work at once."""
    fleet = await working_fleet()
    fleet.replace_totals()
    await fleet.live()

    assert fleet.done == 0
    assert fleet.busy == 3

    fleet.replicas[1].done.inc(5)
    await fleet.live()
    assert fleet.done == 5


async def test_what_was_counted_while_the_totals_were_away_comes_to_their_successor() -> None:
    fleet = await working_fleet()
    fleet.away = True
    for _ in range(3):
        fleet.replicas[0].done.inc(2)
        await fleet.live(1)
    fleet.away = False
    fleet.replace_totals()
    await fleet.live()

    assert fleet.done == 6


async def test_the_sums_are_the_same_object_until_they_change() -> None:
    """The text is made of them once for each object."""
    fleet = await working_fleet()
    before = fleet.shown()
    fleet.totals.add(fleet.pushes[-1])
    assert fleet.shown() is before

    fleet.replicas[0].done.inc()
    await fleet.live(1)
    assert fleet.shown() is not before
    assert before["done"].values == {("done_total", ()): 111}


async def test_each_metric_and_each_series_keeps_its_place() -> None:
    fleet = await working_fleet()
    places = [line.split(" ")[0] for line in exposition(fleet.shown()).decode().splitlines() if line[0] != "#"]
    for replica in reversed(fleet.replicas):
        replica.done.inc()
        await fleet.live(1)

    assert places == ["done_total", "replica_cpu_seconds_total", "busy"]
    assert [line.split(" ")[0] for line in exposition(fleet.shown()).decode().splitlines() if line[0] != "#"] == places
