"""The words' side is BM25: held against a reference that counts from the texts themselves, tenant by tenant."""

import math
import random
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pytest

from deployments.search_schemas import Weights
from deployments.settings import Settings
from tests.integration.calls import Json, change, message, search, store_many
from tests.integration.recount import execute
from tests.integration.service import Service

WORDS_ALONE = {**dict.fromkeys(Weights.model_fields, 0), "words": 1}
ALL = {"top_k": 100, "explain": True, "weights": WORDS_ALONE}
TOLERANCE = 1e-6


@pytest.fixture(params=[0.0, 0.5], ids=["alone", "with neighbors"])
def neighbor_share(request: pytest.FixtureRequest) -> float:
    """How much a neighbor's words count."""
    share: float = request.param
    return share


@pytest.fixture
def settings(database_url: str, neighbor_share: float, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """So many candidates that all of a tenant's messages are."""
    monkeypatch.setenv("MEMORY_DATABASE_URL", database_url)
    monkeypatch.setenv("MEMORY_SEARCH_CANDIDATES", "1000")
    monkeypatch.setenv("MEMORY_SEARCH_NEIGHBOR_SHARE", str(neighbor_share))
    return Settings.load()


@dataclass
class Text:
    """A message as the reference sees it."""

    conversation_id: str
    counted: bool
    terms: Counter[str]

    @property
    def length(self) -> int:
        """How many terms it holds."""
        return self.terms.total()


class Reference:
    """BM25 as it is written down, over what Postgres makes of each text."""

    def __init__(self, service: Service, texts: dict[str, Text]) -> None:
        """`texts`: by id, in the order in which each conversation was held."""
        self._service = service
        self._texts = texts
        settings = service.settings.search
        self._k1, self._b, self._share = settings.bm25_k1, settings.bm25_b, settings.neighbor_share

    async def scores(self, query: str) -> dict[str, float]:
        """In proportion to the best."""
        asked = set(await terms_of(self._service, query))
        known = [term for term in asked if any(text.terms[term] for text in self._texts.values())]
        share = self._share * (1 - 1 / max(len(known), 1))
        counted = [text for text in self._texts.values() if text.counted]
        average = sum(text.length for text in counted) / len(counted)
        rarity = {}
        for term in asked:
            holders = sum(term in text.terms for text in counted)
            rarity[term] = math.log(1 + (len(counted) - holders + 0.5) / (holders + 0.5))
        scores = {
            key: sum(rarity[term] * self._saturated(term, key, average, share) for term in asked) for key in self._texts
        }
        best = max(scores.values())
        return {key: score / best if best else 0.0 for key, score in scores.items()}

    def _saturated(self, term: str, key: str, average: float, share: float) -> float:
        beside = self._beside(key)
        frequency = self._texts[key].terms[term] + share * sum(text.terms[term] for text in beside)
        length = self._texts[key].length + share * sum(text.length for text in beside)
        relative = length / (average * (1 + 2 * share))
        return frequency * (self._k1 + 1) / (frequency + self._k1 * (1 - self._b + self._b * relative))

    def _beside(self, key: str) -> list[Text]:
        conversation_id = self._texts[key].conversation_id
        turns = [k for k, text in self._texts.items() if text.conversation_id == conversation_id]
        place = turns.index(key)
        return [self._texts[k] for k in (*turns[max(place - 1, 0) : place], *turns[place + 1 : place + 2])]


async def terms_of(service: Service, text: str) -> Counter[str]:
    async with service.database.connection() as connection:
        rows = await connection.fetch(
            "SELECT lexeme, cardinality(positions) AS times FROM unnest(to_tsvector('english', $1))", text
        )
    return Counter({row["lexeme"]: row["times"] for row in rows})


async def reference(service: Service, tenant_id: str = "acme") -> Reference:
    async with service.database.connection() as connection:
        rows = await connection.fetch(
            "SELECT id, conversation_id, name, content, created_at, embedding_status FROM messages"
            " WHERE tenant_id = $1 AND NOT archived ORDER BY conversation_id, created_at, id",
            tenant_id,
        )
    texts = {}
    for row in rows:
        when: datetime = row["created_at"]
        said = f"{when.day} {when:%B} {when.year} {row['name'] or ''} {row['content']}"
        texts[str(row["id"])] = Text(
            row["conversation_id"], row["embedding_status"] != "pending", await terms_of(service, said)
        )
    return Reference(service, texts)


async def assert_as_the_reference(service: Service, query: str, tenant_id: str = "acme") -> None:
    expected = await (await reference(service, tenant_id)).scores(query)
    hits = (await search(service, query, tenant_id=tenant_id, **ALL))["items"]

    assert {hit["message_id"] for hit in hits} >= {key for key, score in expected.items() if score}
    for hit in hits:
        assert hit["explanation"]["words"] == pytest.approx(expected[hit["message_id"]], abs=TOLERANCE), hit["content"]
        assert hit["score"] == pytest.approx(hit["explanation"]["words"])


FRUIT = [
    "apple", "apples", "pear", "cherry", "plum", "quince", "medlar", "orchard", "orchards", "pick", "picking", "the",
    "and", "of",
]  # fmt: skip


def turns(seed: int, tenant_id: str, words: list[str], times: int) -> list[Json]:
    """Random talk in six conversations, with words that repeat, names and dates."""
    seeded = random.Random(seed)
    return [
        message(
            " ".join(seeded.choices(words, k=seeded.randint(1, 30))),
            tenant_id=tenant_id,
            conversation_id=f"c{seeded.randrange(6)}",
            name=seeded.choice([None, "Ada", "Grace Hopper", "Apple Martin"]),
            created_at=f"2023-{seeded.randint(3, 6):02}-{seeded.randint(1, 28):02}T{n % 24:02}:00:00Z",
        )
        for n in range(times)
    ]


async def fill(service: Service) -> list[Json]:
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
    "apple",
    "apples and pears",
    "who picked the plums in the orchard",
    "apple apple apple pear",
    "the apple of the Grace and the of",
    "What did Ada pick in May 2023?",
    "7 May 2023",
    "ERR-4012 O'Hara",
    "https://example.org/a?b=c",
    "zebra quince",
    " ".join(FRUIT),
]


@pytest.mark.parametrize("query", QUERIES)
async def test_words_are_weighed_as_bm25_does(service: Service, query: str) -> None:
    await fill(service)

    await assert_as_the_reference(service, query)


@pytest.mark.parametrize("query", ["the of and", "zebra", "?!"])
async def test_words_that_no_message_holds_weigh_nothing(service: Service, query: str) -> None:
    await fill(service)

    hits = (await search(service, query, **ALL))["items"]

    assert {hit["explanation"]["words"] for hit in hits} == {0.0}


async def test_words_are_weighed_by_what_messages_say_now(service: Service) -> None:
    stored = await fill(service)
    queries = ("apple plum", "zebra of the orchard")

    await change(service, stored[0]["id"], content="a zebra in the orchard")
    await change(service, stored[1]["id"], name="Zebra")
    await service.embed_all()
    for query in queries:
        await assert_as_the_reference(service, query)

    for each in stored[5:15]:
        assert (await service.client.delete(f"/v1/messages/{each['id']}")).status_code == 204
    for query in queries:
        await assert_as_the_reference(service, query)

    await service.client.delete("/v1/conversations/c2", params={"tenant_id": "acme"})
    for query in queries:
        await assert_as_the_reference(service, query)


LAST_TURNS = """
    UPDATE messages SET archived = true WHERE id IN (
        SELECT DISTINCT ON (conversation_id) id FROM messages ORDER BY conversation_id, created_at DESC, id DESC
    )
"""


async def test_archived_messages_neither_count_nor_lend_their_words(service: Service) -> None:
    await fill(service)
    await execute(service, LAST_TURNS)

    for query in ("apple plum", "ERR-4012 apple"):
        await assert_as_the_reference(service, query)


async def test_what_waits_for_its_embedding_is_weighed_and_not_counted(service: Service) -> None:
    await fill(service)
    await store_many(service, [message(f"zebra apple {n}", conversation_id=f"c{n}") for n in range(6)])

    for query in ("apple", "zebra apple"):
        await assert_as_the_reference(service, query)


async def test_a_word_is_as_rare_as_it_is_in_its_own_tenant(service: Service) -> None:
    """`apple` is what all of acme's messages say and one of globex's; `quince` the other way round."""
    said: list[tuple[str, str, str]] = [("acme", "apple", "quince"), ("globex", "quince", "apple")]
    for tenant_id, common, rare in said:
        news: list[Any] = [message(f"{common} number {n}", tenant_id=tenant_id) for n in range(12)]
        await store_many(service, [*news, message(f"{rare} number 99", tenant_id=tenant_id)])
    await service.embed_all()

    for tenant_id, _, rare in said:
        await assert_as_the_reference(service, "apple quince", tenant_id)
        best = (await search(service, "apple quince", tenant_id=tenant_id, **ALL))["items"][0]
        assert best["content"] == f"{rare} number 99"


async def test_how_often_a_term_occurs_is_known_exactly(service: Service) -> None:
    """It comes out of ts_rank, whose steps get smaller with each occurrence. Postgres counts up to 255."""
    times = [1, 2, 3, 10, 50, 99, 100, 199, 200, 253, 254, 255, 256, 1000]
    await store_many(service, [message("word " * n, conversation_id=f"c{n}") for n in times])
    await service.embed_all()

    await assert_as_the_reference(service, "word")
