"""Whatever is asked, the answer is a sensible one or a clear 422."""

import json
import math
import random
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any
from urllib.parse import quote_plus

import httpx
import pytest

from deployments.embedding.providers.protocol import EmbeddingProvider
from deployments.schemas.search import Weights
from deployments.search import from_sql
from deployments.settings import Settings
from deployments.storage.search.candidate_search import VectorScan, find
from tests.integration import many_messages
from tests.integration.calls import Json, error_of, found, message, search, store, store_many
from tests.integration.failing import Away
from tests.integration.recount import execute, make_large
from tests.integration.service import Service, create_service

# HAProxy's, and httpx's.
MAX_REQUEST_LINE = 60_000
NOTHING: Json = dict.fromkeys(Weights.model_fields, 0)
FILLER = [
    "I love Python programming",
    "The weather was fine in the mountains",
    "My sister moved to Lisbon",
    "The invoice was paid late",
    "We should plant tomatoes this year",
    "He plays the violin in an orchestra",
]


async def fill(service: Service, *contents: str) -> None:
    """What is to be found, among what is not; no turn beside another."""
    await store_many(
        service,
        [message(content, conversation_id=f"c{n}") for n, content in enumerate((*FILLER, *contents))],
    )


async def ask_both_ways(service: Service, query: str, tenant_id: str = "acme") -> list[Json]:
    """The hits, which are the same for GET, where the query fits into a request line, and for POST."""
    asked = {"tenant_id": tenant_id, "query": query}
    answers = [await service.client.post("/v1/memory/search", json=asked)]
    if len(quote_plus(query)) < MAX_REQUEST_LINE:
        answers.append(await service.client.get("/v1/memory/search", params=asked))
    for answer in answers:
        assert answer.status_code == 200, answer.text
        assert all(math.isfinite(hit["score"]) for hit in answer.json()["items"])
        assert _ids(answer) == _ids(answers[0])
    return list(answers[0].json()["items"])


def _ids(answer: httpx.Response) -> list[str]:
    return [hit["message_id"] for hit in answer.json()["items"]]


NEEDLES: dict[str, tuple[str, str]] = {
    "one rare word": ("The password is xylophone", "xylophone"),
    "a sentence in Chinese": ("我昨天在上海买了一只猫", "我昨天在上海买了一只猫"),
    "a word of Chinese": ("我 昨天 在 上海 买了 一只猫", "上海"),
    "Arabic": ("أحب التفاح كثيرا", "التفاح"),
    "Hebrew, from right to left": ("אני אוהב תפוחים", "תפוחים"),
    "Russian": ("Я купил кошку в Москве", "кошку"),
    "emoji": ("🦓 at the zoo", "🦓"),
    "accents": ("Crème brûlée à la façon d'Élodie", "brûlée"),
    "quotes": ("She said \"don't touch O'Brien's 'thing'\"", "O'Brien's \"thing\""),
    "backslashes": ("It is in C:\\temp\\new_folder\\zebra", "C:\\temp\\new_folder\\zebra"),
    "operators": ("cats & dogs | !birds <-> (zebra:*)", "cats & !zebra:* | (dogs <-> birds)"),
    "an unclosed bracket": ("the ((( zebra", "((( zebra"),
    "a label of a weight": ("zebra:A and lion:BC", "zebra:A*"),
    "SQL": ("Robert'); DROP TABLE messages;--", "'); DROP TABLE messages;--"),
    "parameters": ("$1 :tenant_id %s {dimensions} zebra", "$1 :tenant_id %s {dimensions} zebra"),
    "a URL": ("Read https://example.org/a/b?c=1&d=2#top today", "https://example.org/a/b?c=1&d=2#top"),
    "the host of a URL": ("Read https://example.org/a/b today", "example.org"),
    "an e-mail address": ("Write to ada.lovelace@example.org", "ada.lovelace@example.org"),
    "a hyphenated word": ("A state-of-the-art engine", "state-of-the-art"),
    "a part of a hyphenated word": ("The check-in desk", "desk for check"),
    "a code": ("It fails with ERR-4012 at night", "ERR-4012"),
    "a code within a question": ("It fails with ERR-4012 at night", "what does ERR-4012 mean?"),
    "a version": ("We run v2.17.3-rc1 of it", "v2.17.3-rc1"),
    "a path": ("See /usr/local/zebra/run.sh", "/usr/local/zebra/run.sh"),
    "a number": ("The order is 9876543210", "9876543210"),
    "markup": ("<b>zebra</b> &amp; <script>lion()</script>", "<i>zebra</i>"),
    "control characters": ("ze\x01bra \x7f lion\u202e", "lion\u202e \x01"),
    "all mixed": ("上海 🦓 التفاح ERR-4012 O'Brien", "where is 🦓's ERR-4012 (上海 | !التفاح)"),
}


@pytest.mark.parametrize("embedded", [False, True], ids=["by words", "by both"])
@pytest.mark.parametrize(("content", "query"), NEEDLES.values(), ids=NEEDLES.keys())
async def test_what_holds_the_words_is_found_first(service: Service, content: str, query: str, embedded: bool) -> None:
    await fill(service, content)
    if embedded:
        await service.embed_all()

    hits = await ask_both_ways(service, query)

    assert hits[0]["content"] == content
    assert embedded or all(hit["score"] < hits[0]["score"] for hit in hits[1:])


async def test_a_part_of_a_chinese_sentence_is_found_at_once(service: Service) -> None:
    await fill(service, "我昨天在上海买了一只猫")

    assert [hit["content"] for hit in await ask_both_ways(service, "上海的猫")] == ["我昨天在上海买了一只猫"]


@pytest.mark.parametrize("query", ["the of and", "the " * 20_000], ids=["three", "a page"])
async def test_a_query_of_stop_words_finds_those_who_hold_them(service: Service, query: str) -> None:
    await fill(service)

    assert {hit["content"] for hit in await ask_both_ways(service, query)} == {
        each for each in FILLER if "the" in each.casefold().split()
    }


SILENT = ["?!", "'", '"', "\\", "&", "<->", ":*", "()", "\u200b", "...", "--", "😀"]


@pytest.mark.parametrize("query", SILENT, ids=[f"{query[:6]!r}" for query in SILENT])
async def test_a_query_without_words_is_answered_by_meaning(service: Service, query: str) -> None:
    await fill(service)
    assert await ask_both_ways(service, query) == []

    await service.embed_all()

    assert sorted(hit["content"] for hit in await ask_both_ways(service, query)) == sorted(FILLER)


def many_words(times: int) -> str:
    seeded = random.Random(5)
    return " ".join("".join(seeded.choices("abcdefghij", k=7)) for _ in range(times))


@pytest.mark.parametrize("embedded", [False, True], ids=["by words", "by both"])
@pytest.mark.parametrize(
    "query",
    [
        f"{many_words(200)} xylophone {many_words(9_799)}",
        f"{many_words(12_498)} xylophone",
        "xylophone " * 10_000,
        "xylophone" + " " * 99_000,
        f"{'https://example.org/a?b=' * 4_000} xylophone",
        f"{'🦓' * 99_000} xylophone",
    ],
    ids=["10,000 words", "100,000 characters", "one word", "spaces", "a URL without end", "emoji"],
)
async def test_a_query_of_a_whole_book_finds_the_word_at_its_ends_that_is_known(
    service: Service, query: str, embedded: bool
) -> None:
    """Known: counted. What only waits for its embedding cannot be told from what nobody holds, among so many."""
    await fill(service, "The password is xylophone")
    if embedded:
        await service.embed_all()
    else:
        await execute(service, "UPDATE messages SET embedding_status = 'failed'")

    hits = await ask_both_ways(service, query)

    assert "The password is xylophone" in {hit["content"] for hit in hits}


async def test_a_whole_message_finds_itself(service: Service) -> None:
    content = many_words(12_500)[:100_000]
    await fill(service, content)
    await service.embed_all()

    assert (await ask_both_ways(service, content))[0]["content"] == content


REFUSED: dict[str, str] = {
    "empty": "",
    "blank": " \n\t\u2003",
    "NUL": "apple\0",
    "too long": "x" * 100_001,
}


@pytest.mark.parametrize("query", REFUSED.values(), ids=REFUSED.keys())
async def test_a_query_that_is_none_is_refused_by_name(service: Service, query: str) -> None:
    asked = {"tenant_id": "acme", "query": query}
    answers = {"body": await service.client.post("/v1/memory/search", json=asked)}
    if len(query) < MAX_REQUEST_LINE:
        answers["query"] = await service.client.get("/v1/memory/search", params=asked)

    for place, answer in answers.items():
        assert answer.status_code == 422
        (detail,) = error_of(answer)["details"]
        assert detail["location"] == [place, "query"]


async def test_half_a_surrogate_pair_is_refused(service: Service) -> None:
    answer = await post_raw(service, '{"tenant_id": "acme", "query": "apple \\ud83e"}')

    assert answer.status_code in {400, 422}
    error_of(answer)


async def post_raw(service: Service, body: str) -> httpx.Response:
    return await service.client.post(
        "/v1/memory/search", content=body.encode(), headers={"Content-Type": "application/json"}
    )


BAD_WEIGHTS = {
    "negative": "-0.01",
    "NaN as JSON does not know it": "NaN",
    "infinity": "Infinity",
    "infinity as a number": "1e999",
    "NaN in a string": '"NaN"',
    "infinity in a string": '"-Infinity"',
    "text": '"much"',
    "above 100": "100.001",
    "null": "null",
    "a list": "[1]",
}


@pytest.mark.parametrize("name", Weights.model_fields)
@pytest.mark.parametrize("value", BAD_WEIGHTS.values(), ids=BAD_WEIGHTS.keys())
async def test_a_weight_that_makes_no_sense_is_refused_by_name(service: Service, name: str, value: str) -> None:
    answer = await post_raw(service, f'{{"tenant_id": "acme", "query": "apple", "weights": {{"{name}": {value}}}}}')

    assert answer.status_code == 422
    (detail,) = error_of(answer)["details"]
    assert detail["location"] == ["body", "weights", name]


async def test_a_weight_that_does_not_exist_is_refused_by_name(service: Service) -> None:
    for weights, location in (({"charm": 1}, ["charm"]), ([], []), ("all", []), (1, [])):
        answer = await post_raw(service, json.dumps({"tenant_id": "acme", "query": "apple", "weights": weights}))

        assert answer.status_code == 422
        assert error_of(answer)["details"][0]["location"] == ["body", "weights", *location]


@pytest.mark.parametrize("embedded", [False, True], ids=["by words", "by both"])
@pytest.mark.parametrize("weights", [NOTHING, {**NOTHING, "diversity": 1}], ids=["all zero", "all but diversity"])
async def test_without_any_weight_the_newest_come_first(service: Service, weights: Json, embedded: bool) -> None:
    days = [3, 1, 4, 2, 5]
    names = ["apple pie", "an apple", "apple of my eye", "green apple tree", "apple and pear"]
    await store_many(
        service,
        [
            message(content, created_at=f"2024-03-0{day}T00:00:00Z", conversation_id=f"c{day}")
            for content, day in zip(names, days, strict=True)
        ],
    )
    if embedded:
        await service.embed_all()

    hits = (await search(service, "apple", weights=weights, explain=True))["items"]

    assert [hit["created_at"][8:10] for hit in hits] == ["05", "04", "03", "02", "01"]
    assert {hit["score"] for hit in hits} == {0.0}


async def test_the_greatest_weights_are_taken(service: Service) -> None:
    await fill(service, "The password is xylophone")
    await service.embed_all()

    hits = (await search(service, "xylophone", weights=dict.fromkeys(NOTHING, 100), explain=True))["items"]

    assert hits[0]["content"] == "The password is xylophone"
    for hit in hits:
        assert hit["score"] == pytest.approx(sum(hit["explanation"].values()))


ANY_QUERY = ["xylophone", "the of and", "我", "🦓", "yesterday", "' OR 1=1", "apple " * 10_000]


@pytest.mark.parametrize("query", ANY_QUERY, ids=[query[:12] for query in ANY_QUERY])
async def test_a_tenant_with_one_message_has_it_found_by_whatever_is_asked(service: Service, query: str) -> None:
    await store(service, "I love Python programming", tenant_id="globex")
    await service.embed_all()

    assert await ask_both_ways(service, query) == []
    (hit,) = await ask_both_ways(service, query, tenant_id="globex")
    assert hit["content"] == "I love Python programming"
    assert -1 <= hit["similarity"] <= 1


async def test_a_tenant_without_a_single_vector_is_searched_by_words(service: Service) -> None:
    """All of its messages were given up; then they went, and one came that still waits."""
    await fill(service, "The password is xylophone")
    await execute(service, "UPDATE messages SET embedding_status = 'failed'")
    assert [hit["content"] for hit in await ask_both_ways(service, "xylophone")] == ["The password is xylophone"]

    await execute(service, "UPDATE messages SET embedding_status = 'pending'")
    await service.embed_all()
    await execute(service, "DELETE FROM messages")
    assert await ask_both_ways(service, "xylophone") == []

    await store(service, "Another xylophone")
    assert [hit["content"] for hit in await ask_both_ways(service, "xylophone")] == ["Another xylophone"]


@pytest.mark.parametrize(
    ("query", "asked_at"),
    [
        ("what was yesterday", "0001-01-01T00:00:00Z"),
        ("what was 999 years ago", "0500-01-01T00:00:00Z"),
        ("in the last 999 years", "0500-01-01T00:00:00Z"),
        ("last year", "0001-06-01T00:00:00Z"),
        ("last month", "0001-01-01T00:00:00Z"),
        ("last monday", "0001-01-01T00:00:00Z"),
        ("what is today", "9999-12-31T23:00:00Z"),
        ("this weekend", "9999-12-31T23:00:00Z"),
        ("this year", "9999-12-31T23:59:59Z"),
        ("999 days ago", "2024-02-29T00:00:00Z"),
        ("what was \u017fix days ago", None),
        ("ye\u017fterday", None),
        ("la\u017ft wee\u212a", None),
        ("f\u0131ve days ago", None),
        ("\u0661\u0662 days ago", None),
        ("0 days ago", None),
    ],
)
async def test_a_time_that_cannot_be_is_no_reason_to_fail(service: Service, query: str, asked_at: str | None) -> None:
    await fill(service, "It was yesterday")

    answer = await service.client.post(
        "/v1/memory/search", json={"tenant_id": "acme", "query": query, "asked_at": asked_at}
    )

    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("status", ["pending", "failed"], ids=["not counted yet", "counted"])
@pytest.mark.parametrize("exact_limit", [0, 20_000], ids=["by indexes", "exact"])
async def test_a_rare_word_is_found_beside_one_that_thousands_hold(
    settings: Settings, service: Service, exact_limit: int, status: str
) -> None:
    """From the moment of the 202, when it is not counted yet, and for ever after."""
    if not exact_limit:
        await make_large(service, "acme")
    await execute(service, many_messages.alike("acme", "apple", 2_500))
    await store(service, "apple xylophone")
    await execute(service, "UPDATE messages SET embedding_status = $1 WHERE content = 'apple xylophone'", status)
    limits = replace(settings, search=settings.search.model_copy(update={"exact_limit": exact_limit, "index_bytes": 0}))
    async with create_service(limits, Away()) as limited:
        for _ in range(2):
            assert (await found(limited, "apple xylophone"))[0] == "apple xylophone"


@pytest.fixture
async def large(settings: Settings, provider: EmbeddingProvider, database_url: str) -> AsyncIterator[Service]:
    """A tenant of 25,000 messages, beyond what is held in memory and what is read exactly."""
    await many_messages.fill(database_url, large=25_000)
    limits = settings.search.model_copy(update={"index_messages": 20_000})
    async with create_service(replace(settings, search=limits), provider) as service:
        yield service


async def test_a_large_tenant_answers(large: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """By way of the indexes."""
    searches = []

    async def watched(*arguments: Any) -> Any:
        searches.append(await find(*arguments))
        return searches[-1]

    monkeypatch.setattr(from_sql, "find", watched)
    await store(large, "The password is xylophone", tenant_id="large", conversation_id="c1")
    await large.embed_all()
    asked = {"tenant_id": "large", "top_k": 20}

    for _ in range(2):
        assert (await found(large, "xylophone", **asked))[0] == "The password is xylophone"
        assert (await found(large, "the apple or the xylophone", **asked))[0] == "The password is xylophone"
        common = await found(large, "apple", **asked)
        assert len(common) == 20
        assert all("apple" in content for content in common[:5])
        for query in ("the of and", "apple pear cherry plum", many_words(10_000), "我", "'"):
            assert len(await found(large, query, **asked)) == 20
    assert [each.scan for each in searches] == [VectorScan.WALK] * 16
