"""URLs, judged before a driver sees them; what the settings make of it is in `test_settings.py`."""

from collections.abc import Callable

import pytest

from deployments.connection_urls import HTTP_FORM, REDIS_FORM, http_url, postgres_url, redis_url


def test_a_driver_may_be_named_for_postgres() -> None:
    assert postgres_url("postgresql+asyncpg://u:p@h/d") == "postgresql://u:p@h/d"


@pytest.mark.parametrize(
    ("judge", "given", "form"), [(http_url, "http+x://h", HTTP_FORM), (redis_url, "redis+x://h", REDIS_FORM)]
)
def test_a_driver_may_be_named_for_nothing_else(judge: Callable[[str], str], given: str, form: str) -> None:
    with pytest.raises(ValueError, match="must be like") as refused:
        judge(given)
    assert str(refused.value) == form
