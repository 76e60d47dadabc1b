"""When an attempt that failed is made again."""

import pytest

from deployments.embedding.retry import retry_delay


@pytest.mark.parametrize(("attempts", "expected"), [(1, 2.0), (2, 4.0), (3, 8.0), (4, 10.0), (50, 10.0), (5_000, 10.0)])
def test_the_delay_doubles_up_to_the_most(attempts: int, expected: float) -> None:
    assert retry_delay(attempts, base=2.0, most=10.0, chance=0.0) == expected


@pytest.mark.parametrize(("chance", "expected"), [(0.0, 8.0), (0.5, 6.0), (1.0, 4.0)])
def test_chance_takes_up_to_a_half(chance: float, expected: float) -> None:
    assert retry_delay(3, base=2.0, most=100.0, chance=chance) == expected


@pytest.mark.parametrize(("asked", "expected"), [(None, 4.0), (1.0, 4.0), (60.0, 60.0)])
def test_what_the_provider_asks_for_counts_where_it_is_longer(asked: float | None, expected: float) -> None:
    assert retry_delay(2, base=2.0, most=10.0, chance=0.0, retry_after=asked) == expected
