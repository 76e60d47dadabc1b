"""Terms as Postgres takes them: whatever they are made of, and however many there are."""

import random
from typing import Any

import pytest

from deployments.analysis.terms import Terms, document_terms
from deployments.storage.messages.term_vectors import MOST_BYTES, MOST_POSITIONS, term_vector
from tests.integration.calls import found, store
from tests.integration.service import Service

UNNESTED = "SELECT lexeme, positions, weights FROM unnest($1::text::tsvector)"


async def fetch(service: Service, query: str, terms: Terms) -> list[Any]:
    async with service.database.connection() as connection:
        return list(await connection.fetch(query, term_vector(terms).literal))


@pytest.mark.parametrize("term", ["o'hara", "a\\b", "'", "\\'", "a:b", "a b", "x'y\\z", "é", "🍐"])
async def test_a_term_is_stored_as_it_is(service: Service, term: str) -> None:
    (row,) = await fetch(service, UNNESTED, Terms({term: 2}, {}))

    assert (row["lexeme"], row["positions"]) == (term, [1, 2])


async def test_words_make_up_the_length_and_forms_are_found(service: Service) -> None:
    terms = Terms({"once": 1, "thrice": 3, "both": 2}, {"form": 2, "both": 1})
    rows = {row["lexeme"]: row["weights"] for row in await fetch(service, UNNESTED, terms)}
    (length,) = await fetch(service, "SELECT term_count($1::text::tsvector)", terms)

    assert rows == {"once": None, "thrice": ["D", "D", "D"], "both": ["D", "D", "C"], "form": ["C", "C"]}
    assert length[0] == 6


async def test_a_term_has_as_many_positions_as_postgres_keeps(service: Service) -> None:
    terms = Terms({"word": 1_000}, {"word": 5, "form": 1_000})

    assert {len(row["positions"]) for row in await fetch(service, UNNESTED, terms)} == {MOST_POSITIONS}


IDEOGRAPHS = ("".join(map(chr, [*range(0x20000, 0x2A000), *range(0x4E00, 0x9E00)])) * 2)[:100_000]
TEXTS = {
    "ideographs": IDEOGRAPHS,
    "4-byte letters": " ".join(f"{chr(0x10000 + n)}x{n}" for n in range(12_000))[:100_000],
    "versions": " ".join(f"v{n}.{n}.{n}" for n in range(6_000))[:100_000],
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
async def test_a_message_may_have_as_many_terms_as_it_has_room_for(service: Service, text: str) -> None:
    """Its words come before its further forms, and what stands first before what comes later."""
    terms = document_terms(text, ("en",))

    kept = {row["lexeme"] for row in await fetch(service, UNNESTED, terms)}

    assert kept >= set(list(terms.words)[:10_000])
    assert kept >= terms.words.keys() or not kept & (terms.forms.keys() - terms.words.keys())


async def test_the_longest_message_of_distinct_characters_is_stored_and_found(service: Service) -> None:
    await store(service, IDEOGRAPHS)

    assert await found(service, IDEOGRAPHS[500:510]) == [IDEOGRAPHS]
    assert await found(service, IDEOGRAPHS[500]) == [IDEOGRAPHS]


def test_a_vector_that_is_full_keeps_what_comes_first() -> None:
    seeded = random.Random(3)
    words = {f"{n:06}{seeded.randbytes(90).hex()}": 1 for n in range(10_000)}

    vector = term_vector(Terms(words, {"form": 1})).literal

    assert MOST_BYTES - 300 < len(vector.replace("'", "").replace(" ", "")) <= MOST_BYTES
    assert vector.startswith("'000000")
    assert "form" not in vector
