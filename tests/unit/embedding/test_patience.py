"""What is read out of a Retry-After header."""

import time
from email.utils import formatdate

import pytest

from deployments.embedding.providers.deadline import budget_seconds
from deployments.runtime.retry_after import retry_after_seconds


@pytest.mark.parametrize(("value", "seconds"), [("3", 3.0), ("0.5", 0.5), (" 7 ", 7.0)])
def test_seconds_are_read(value: str, seconds: float) -> None:
    assert retry_after_seconds({"retry-after": value}) == seconds


def test_a_date_is_read() -> None:
    seconds = retry_after_seconds({"retry-after": formatdate(time.time() + 3600, usegmt=True)})
    assert seconds is not None
    assert 3000 < seconds <= 3600


@pytest.mark.parametrize("value", ["0", "-5", "nan", "inf", "", "soon", "Mon, 01 Jan 1990 00:00:00 GMT", "Mon, 99"])
def test_no_sense_is_no_wish(value: str) -> None:
    assert retry_after_seconds({"retry-after": value}) is None


def test_no_header_is_no_wish() -> None:
    assert retry_after_seconds({}) is None


def test_the_default_budget_fits_into_the_default_lease() -> None:
    from_defaults, lease = budget_seconds(30.0), 60.0
    assert 30.0 < from_defaults < lease
