"""When a reranker that is away is asked again."""

import pytest

from deployments.search.reranking.circuit_breaker import LONGEST_PAUSE_SECONDS, PAUSE_SECONDS, CircuitBreaker

PROBE_SECONDS = 5.0


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> CircuitBreaker:
    return CircuitBreaker(PROBE_SECONDS, clock)


def test_all_calls_go_while_none_has_failed(breaker: CircuitBreaker) -> None:
    assert all(breaker.admits() for _ in range(10))


def test_none_goes_within_the_pause(breaker: CircuitBreaker, clock: Clock) -> None:
    breaker.open()
    assert not breaker.admits()
    clock.now += PAUSE_SECONDS * 0.99
    assert not breaker.admits()


def test_after_the_pause_one_goes_alone_and_its_answer_admits_all(breaker: CircuitBreaker, clock: Clock) -> None:
    breaker.open()
    clock.now += PAUSE_SECONDS
    assert [breaker.admits() for _ in range(3)] == [True, False, False]
    breaker.close()
    assert all(breaker.admits() for _ in range(3))


def test_after_the_pause_one_goes_alone_and_its_failure_pauses_again(breaker: CircuitBreaker, clock: Clock) -> None:
    breaker.open()
    clock.now += PAUSE_SECONDS
    assert breaker.admits()
    clock.now += 3
    assert breaker.open()
    assert not breaker.admits()
    clock.now += PAUSE_SECONDS
    assert [breaker.admits() for _ in range(2)] == [True, False]


def test_a_call_that_never_ends_lets_another_go_in_the_end(breaker: CircuitBreaker, clock: Clock) -> None:
    breaker.open()
    clock.now += PAUSE_SECONDS
    assert breaker.admits()
    clock.now += PROBE_SECONDS
    assert breaker.admits()


def test_calls_that_fail_together_are_one_pause(breaker: CircuitBreaker) -> None:
    assert [breaker.open() for _ in range(3)] == [True, False, False]


def test_an_answer_to_a_call_from_before_the_pause_does_not_end_it(breaker: CircuitBreaker) -> None:
    breaker.open()
    breaker.close()
    assert not breaker.admits()


@pytest.mark.parametrize(
    ("asked", "pause"),
    [(None, PAUSE_SECONDS), (0.1, PAUSE_SECONDS), (20.0, 20.0), (86_400.0, LONGEST_PAUSE_SECONDS)],
)
def test_the_pause_is_what_is_asked_for_within_limits(
    breaker: CircuitBreaker, clock: Clock, asked: float | None, pause: float
) -> None:
    breaker.open(asked)
    clock.now += pause - 0.01
    assert not breaker.admits()
    clock.now += 0.02
    assert breaker.admits()
