"""Limits as they are written."""

import pytest

from deployments.schemas.rate_limits import rates_in


@pytest.mark.parametrize(
    ("text", "limits"),
    [
        ("200/minute", [(200, 60)]),
        ("10/second;200/minute", [(10, 1), (200, 60)]),
        ("10 per 2 hours, 5/day", [(10, 7200), (5, 86400)]),
        ("10/second;10/second", [(10, 1)]),
    ],
)
def test_limits_are_read(text: str, limits: list[tuple[int, int]]) -> None:
    assert [(rate.amount, rate.get_expiry()) for rate in rates_in(text)] == limits


@pytest.mark.parametrize(
    "text",
    ["", "200", "-1/minute", "0/minute", "1/minute,", "1.5/minute", "1/fortnight", "2 per 2 year", "9999999999/day"],
)
def test_what_is_no_limit_or_lets_nothing_through_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be like 200/minute"):
        rates_in(text)
