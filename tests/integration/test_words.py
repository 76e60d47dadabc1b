"""Hold the words' part of a score against a BM25 that counts the terms of the texts themselves, tenant by tenant."""

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest

from deployments.analysis.query import analyze_query
from deployments.analysis.terms import Languages, Terms, document_terms
from deployments.schemas.search import Weights
from deployments.search.ranking.parts import FULL_WORDS
from deployments.settings import Settings
from tests.integration.calls import Json, change, message, search, store_many
from tests.integration.recount import execute
from tests.integration.service import Service

WORDS_ALONE = {**dict.fromkeys(Weights.model_fields, 0), "words": 1}
ALL = {"top_k": 100, "explain": True, "weights": WORDS_ALONE}
# Far below what one occurrence more or less of 254 comes to.
TOLERANCE = 1e-9
# As many occurrences of a term as Postgres keeps.
MOST = 255


@pytest.fixture
def neighbor_share(request: pytest.FixtureRequest) -> float:
    """Return how much a neighbor's words count: half, where a test does not say."""
    share: float = getattr(request, "param", 0.5)
    return share


@pytest.fixture
def settings(database_url: str, neighbor_share: float, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Ask for so many candidates that all of a tenant's messages are."""
    monkeypatch.setenv("MEMORY_DATABASE_URL", database_url)
    monkeypatch.setenv("MEMORY_SEARCH_CANDIDATES", "1000")
    monkeypatch.setenv("MEMORY_SEARCH_NEIGHBOR_SHARE", str(neighbor_share))
    return Settings.load()


@dataclass
class Text:
    """A message as the reference sees it."""

    conversation_id: str
    counted: bool
    terms: Terms

    def times(self, term: str) -> int:
        """Return how often it holds a term, as a word or as a further form of one."""
        return min(self.terms.words.get(term, 0) + self.terms.forms.get(term, 0), MOST)

    @property
    def length(self) -> int:
        """Return how many words it has. Their further forms add nothing to it."""
        return sum(min(times, MOST) for times in self.terms.words.values())


class Reference:
    """BM25 as it is written down, over the terms of each text, as a share of what the query's words weigh."""

    def __init__(self, service: Service, texts: dict[str, Text]) -> None:
        """`texts`: by id, in the order in which each conversation was held."""
        self._texts = texts
        settings = service.settings.search
        self._k1, self._b, self._share = settings.bm25_k1, settings.bm25_b, settings.neighbor_share

    def scores(self, query: str, languages: Languages) -> dict[str, float]:
        """Return the words' part of each text's score, 0 to 1."""
        asked = analyze_query(query, datetime.now(UTC), languages)
        weights = {term: weight * self._rarity(term) for term, weight in asked.weight_of.items()}
        held = {term for term in asked.terms if any(text.times(term) for text in self._texts.values())}
        unstopped = sum(any(asked.weight_of[term] == 1 for term in held.intersection(word)) for word in asked.words)
        share = self._share * (1 - 1 / max(unstopped, 1))
        alternatives = {term for word in asked.words for term in word}
        most = sum(max(weights[term] for term in word) for word in asked.words)
        most += sum(weights[term] for term in held - alternatives)
        return {
            key: math.tanh(self._bm25(weights, key, share) / (FULL_WORDS * most)) if most else 0.0
            for key in self._texts
        }

    @property
    def _counted(self) -> list[Text]:
        return [text for text in self._texts.values() if text.counted]

    def _rarity(self, term: str) -> float:
        messages = len(self._counted)
        holders = sum(text.times(term) > 0 for text in self._counted)
        return math.log(1 + (messages - holders + 0.5) / (holders + 0.5))

    def _bm25(self, weights: Mapping[str, float], key: str, share: float) -> float:
        average = sum(text.length for text in self._counted) / len(self._counted)
        beside = self._beside(key)
        length = self._texts[key].length + share * sum(text.length for text in beside)
        held_back = self._k1 * (1 - self._b + self._b * length / (average * (1 + 2 * share)))
        score = 0.0
        for term, weight in weights.items():
            frequency = self._texts[key].times(term) + share * sum(text.times(term) for text in beside)
            score += weight * frequency * (self._k1 + 1) / (frequency + held_back)
        return score

    def _beside(self, key: str) -> list[Text]:
        conversation_id = self._texts[key].conversation_id
        turns = [k for k, text in self._texts.items() if text.conversation_id == conversation_id]
        place = turns.index(key)
        return [self._texts[k] for k in (*turns[max(place - 1, 0) : place], *turns[place + 1 : place + 2])]


def in_languages(own: str | None) -> Languages:
    """Return the languages of a text or query that names its own, or none, of a tenant that speaks English."""
    return ("en",) if own in {None, "en"} else (own, "en")


async def reference(service: Service, tenant_id: str = "acme") -> Reference:
    """Read what a tenant's messages say now."""
    async with service.database.connection() as connection:
        rows = await connection.fetch(
            "SELECT id, conversation_id, name, content, language, created_at, embedding_status FROM messages"
            " WHERE tenant_id = $1 AND NOT archived ORDER BY conversation_id, created_at, id",
            tenant_id,
        )
    texts = {}
    for row in rows:
        when: datetime = row["created_at"]
        said = f"{when.day} {when:%B} {when.year} {row['name'] or ''} {row['content']}"
        terms = document_terms(said, in_languages(row["language"]))
        texts[str(row["id"])] = Text(row["conversation_id"], True, terms)
    return Reference(service, texts)


async def assert_as_the_reference(
    service: Service, *queries: str, tenant_id: str = "acme", language: str | None = None
) -> None:
    """Search for each query among all of a tenant's messages; there must be something to find."""
    now = await reference(service, tenant_id)
    for query in queries:
        expected = now.scores(query, in_languages(language))
        hits = (await search(service, query, tenant_id=tenant_id, language=language, **ALL))["items"]

        assert {hit["message_id"] for hit in hits} >= {key for key, score in expected.items() if score} > set(), query
        for hit in hits:
            words = hit["explanation"]["words"]
            assert words == pytest.approx(expected[hit["message_id"]], abs=TOLERANCE), (query, hit["content"])
            assert hit["score"] == pytest.approx(words)


FRUIT = [
    "apple", "apples", "pear", "cherry", "plum", "quince", "orchard", "orchards", "pick", "picking", "plum2",
    "apple-pear", "the", "and", "of",
]  # fmt: skip


def turns(seed: int, tenant_id: str, words: list[str], times: int) -> list[Json]:
    """Return random talk in six conversations: words repeat, there are names and dates, some of it is German."""
    seeded = random.Random(seed)
    return [
        message(
            " ".join(seeded.choices(words, k=seeded.randint(1, 30))),
            tenant_id=tenant_id,
            conversation_id=f"c{seeded.randrange(6)}",
            name=seeded.choice([None, "Ada", "Grace Hopper", "Apple Martin"]),
            language=seeded.choice([None, None, "en", "de"]),
            created_at=f"2023-{seeded.randint(3, 6):02}-{seeded.randint(1, 28):02}T{n % 24:02}:00:00Z",
        )
        for n in range(times)
    ]


async def fill(service: Service) -> list[Json]:
    """Store and embed what most tests search, and return what was stored."""
    stored = await store_many(
        service,
        [
            *turns(1, "acme", FRUIT, 60),
            message("ERR-4012 in picking, see https://example.org/a?b=c or write to ada@example.org", name="O'Hara"),
            message("apple " * 300, conversation_id="c1", created_at="2023-05-01T00:00:00Z"),
        ],
    )
    await service.embed_all()
    return stored


QUERIES = [
    "apple apple apple",
    "the apple of the Grace and the of",
    "What did Ada pick in May 2023?",
    "7 May 2023",
    "the of and",
    "zebra quince",
    "ERR-4012 O'Hara",
    "ERR-9999 in picking",
    "https://example.org/a?b=c",
    " ".join(FRUIT),
]


@pytest.mark.parametrize("neighbor_share", [0.0, 0.5], ids=["alone", "with neighbors"], indirect=True)
async def test_words_are_weighed_as_bm25_does(service: Service) -> None:
    await fill(service)

    await assert_as_the_reference(service, *QUERIES)


async def test_a_word_that_has_a_stem_in_each_language_is_one_word(service: Service) -> None:
    await fill(service)

    await assert_as_the_reference(service, "picking cherry", "the picked cherries", language="de")


async def test_words_that_no_message_holds_weigh_nothing(service: Service) -> None:
    await fill(service)

    for query in ("zebra", "zebra-9999", "?!"):
        hits = (await search(service, query, **ALL))["items"]
        assert {hit["explanation"]["words"] for hit in hits} == {0.0}, query


async def test_words_are_weighed_by_what_messages_say_now(service: Service) -> None:
    stored = await fill(service)
    queries = ("apple plum", "zebra of the orchard")

    await change(service, stored[0]["id"], content="a zebra in the orchard")
    await change(service, stored[1]["id"], name="Zebra")
    await service.embed_all()
    await assert_as_the_reference(service, *queries)

    for each in stored[5:15]:
        assert (await service.client.delete(f"/v1/messages/{each['id']}")).status_code == 204
    await assert_as_the_reference(service, *queries)

    await service.client.delete("/v1/conversations/c2", params={"tenant_id": "acme"})
    await assert_as_the_reference(service, *queries)


# The last turn of each conversation, and turns in its middle.
EVERY_FOURTH_TURN = """
    UPDATE messages SET archived = true WHERE id IN (
        SELECT id FROM (
            SELECT id, row_number() OVER (PARTITION BY conversation_id ORDER BY created_at DESC, id DESC) AS place
            FROM messages
        ) AS turns
        WHERE place % 4 = 1
    )
"""


async def test_archived_messages_neither_count_nor_lend_their_words(service: Service) -> None:
    await fill(service)
    await execute(service, EVERY_FOURTH_TURN)

    await assert_as_the_reference(service, "apple plum", "ERR-4012 apple")


async def test_what_waits_for_its_embedding_is_weighed_and_counted(service: Service) -> None:
    await fill(service)
    await store_many(service, [message(f"zebra apple {n}", conversation_id=f"c{n}") for n in range(6)])

    await assert_as_the_reference(service, "apple", "zebra", "zebra apple")


async def test_a_word_is_as_rare_as_it_is_in_its_own_tenant(service: Service) -> None:
    """`apple` is what all of acme's messages say and one of globex's; `quince` the other way round."""
    said: list[tuple[str, str, str]] = [("acme", "apple", "quince"), ("globex", "quince", "apple")]
    for tenant_id, common, rare in said:
        news: list[Any] = [message(f"{common} number {n}", tenant_id=tenant_id) for n in range(12)]
        await store_many(service, [*news, message(f"{rare} number 99", tenant_id=tenant_id)])
    await service.embed_all()

    for tenant_id, _, rare in said:
        await assert_as_the_reference(service, "apple quince", tenant_id=tenant_id)
        best = (await search(service, "apple quince", tenant_id=tenant_id, **ALL))["items"][0]
        assert best["content"] == f"{rare} number 99"


async def test_how_often_a_term_occurs_is_known_exactly(service: Service) -> None:
    """It comes out of ts_rank, whose steps get smaller with each occurrence. Postgres counts up to 255."""
    times = [1, 2, 3, 10, 50, 99, 100, 199, 200, 253, 254, 255, 256, 1000]
    await store_many(service, [message("word " * n, conversation_id=f"c{n}") for n in times])
    await service.embed_all()

    await assert_as_the_reference(service, "word", "word zebra")
