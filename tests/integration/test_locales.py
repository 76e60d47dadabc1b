"""The databases of the locale fixtures have the locale asked for, and behave differently in each."""

import asyncpg
import pytest

from tests.integration.locales import LOCALES, LocaleServer

# Of each pair of locales, at least one value differs.
BEHAVIOUR = """
    SELECT lower('Ä') AS lower,
           to_tsvector('simple', '“Zahnarzt”')::text AS terms,
           'ä' ~ '\\w' AS letter,
           'a' < 'B' AS a_before_b
"""
EXPECTED = {
    "C": {"lower": "Ä", "terms": "'“zahnarzt”':1", "letter": False, "a_before_b": False},
    "C.UTF-8": {"lower": "ä", "terms": "'zahnarzt':1", "letter": True, "a_before_b": False},
    "en_US.UTF-8": {"lower": "ä", "terms": "'zahnarzt':1", "letter": True, "a_before_b": True},
}


async def fetch_row(url: str, query: str) -> dict[str, object]:
    connection = await asyncpg.connect(url)
    try:
        row = await connection.fetchrow(query)
        assert row is not None
        return dict(row)
    finally:
        await connection.close()


async def test_database_has_the_locale_asked_for(localized_database_url: str, locale: str) -> None:
    row = await fetch_row(
        localized_database_url,
        "SELECT datcollate, datctype, datlocprovider::text AS provider, pg_encoding_to_char(encoding) AS encoding"
        " FROM pg_database WHERE datname = current_database()",
    )

    assert row == {"datcollate": locale, "datctype": locale, "provider": "c", "encoding": "UTF8"}


async def test_database_is_migrated(localized_database_url: str) -> None:
    assert (await fetch_row(localized_database_url, "SELECT count(*) AS messages FROM messages"))["messages"] == 0


async def test_each_locale_behaves_as_no_other(localized_database_url: str, locale: str) -> None:
    assert await fetch_row(localized_database_url, BEHAVIOUR) == EXPECTED[locale]
    assert all(EXPECTED[other] != EXPECTED[locale] for other in LOCALES if other != locale)


def test_a_locale_that_no_machine_has_is_an_error(postgres_of_locales: LocaleServer) -> None:
    with pytest.raises(AssertionError, match="Postgres does not know the locale xx_XX"):
        postgres_of_locales.create("xx_XX.UTF-8")
