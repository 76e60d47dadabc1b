"""Parses rate limits in the notation of the library `limits`: `200/minute`, `10/second;200/minute`."""

from functools import lru_cache
from typing import Annotated

from limits import RateLimitItem, parse_many
from pydantic import AfterValidator, Field
from pydantic.config import JsonDict

# A subset of the notation, for the JSON schema: every match is a valid limit.
_PLAIN = r"[1-9][0-9]{0,8}/(second|minute|hour|day|month|year)"
WRITTEN: JsonDict = {"pattern": f"^{_PLAIN}(;{_PLAIN}){{0,4}}$"}
LONGEST_WINDOW_SECONDS = 366 * 24 * 3600
MOST_REQUESTS = 1_000_000_000
MOST_CHARACTERS = 200
_FORM = "must be like 200/minute, or several like 10/second;200/minute"


@lru_cache(maxsize=1024)
def rates_in(text: str) -> tuple[RateLimitItem, ...]:
    """Return the distinct limits of a text. Raises `ValueError` if one is invalid, or outside of the bounds."""
    try:
        rates = parse_many(text)
    except ValueError:
        raise ValueError(_FORM) from None
    for rate in rates:
        if not 1 <= rate.amount <= MOST_REQUESTS or not 1 <= rate.get_expiry() <= LONGEST_WINDOW_SECONDS:
            raise ValueError(f"{_FORM}, of 1 to {MOST_REQUESTS} requests within a year at most")
    return tuple(dict.fromkeys(rates))


def _readable(text: str) -> str:
    rates_in(text)
    return text


RateLimit = Annotated[str, Field(max_length=MOST_CHARACTERS, json_schema_extra=WRITTEN), AfterValidator(_readable)]
