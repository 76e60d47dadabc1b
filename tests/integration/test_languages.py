"""Words are found in all the forms that the languages of a tenant and of a message know."""

from dataclasses import replace
from typing import Any

import pytest

from deployments.embedding.providers.protocol import EmbeddingProvider
from deployments.schemas.api_keys import CreatedKey, KeyScope
from deployments.settings import Settings
from tests.integration.calls import Json, change, error_of, found, message, store, store_many
from tests.integration.keys import make, sent
from tests.integration.reanalyzing import reanalyze_all
from tests.integration.service import Service, create_service

GERMAN = "Die Häuser am See sind schön"
ENGLISH = "He was running from the zebras"
OTHERS = ("Wir essen Brot", "I love Python programming")


async def fill(service: Service, *contents: str, **fields: Any) -> None:
    """What is to be found, beside what is not; no turn beside another."""
    texts = (*OTHERS, *contents)
    await store_many(service, [message(text, conversation_id=f"c{n}", **fields) for n, text in enumerate(texts)])


async def set_language(service: Service, language: str, tenant_id: str = "acme", **fields: Any) -> Json:
    answer = await service.client.put(f"/v1/admin/languages/{tenant_id}", json={"language": language, **fields})
    assert answer.status_code == 200, answer.text
    body: Json = answer.json()
    return body


async def language_of(service: Service, tenant_id: str = "acme") -> Json:
    body: Json = (await service.client.get(f"/v1/admin/languages/{tenant_id}")).json()
    return body


@pytest.fixture
async def speaking(settings: Settings, provider: EmbeddingProvider, request: pytest.FixtureRequest) -> Any:
    """The service, with other settings of languages."""
    search = settings.search.model_copy(update=request.param)
    async with create_service(replace(settings, search=search), provider) as told:
        yield told


@pytest.mark.parametrize("speaking", [{"language": "simple"}], indirect=True)
async def test_the_plain_language_finds_words_as_they_are_written(speaking: Service) -> None:
    await fill(speaking, ENGLISH)

    assert await found(speaking, "run zebra") == []
    assert await found(speaking, "RUNNING") == [ENGLISH]


async def test_the_language_of_the_settings_holds_for_a_tenant_without_its_own(service: Service) -> None:
    await fill(service, ENGLISH)

    assert await found(service, "run zebra") == [ENGLISH]
    assert await language_of(service) == {
        "tenant_id": "acme",
        "language": "en",
        "detect": False,
        "reanalyzing": False,
        "default": True,
    }


async def test_a_tenants_own_language_holds_for_what_it_stores_and_asks(service: Service) -> None:
    body = await set_language(service, "de")
    assert (body["language"], body["default"]) == ("de", False)

    await fill(service, GERMAN)
    await fill(service, GERMAN, tenant_id="globex")

    assert await found(service, "Haus") == [GERMAN]
    assert await found(service, "Haus", tenant_id="globex") == []


async def test_a_language_that_is_changed_holds_for_what_was_stored_before(service: Service) -> None:
    """Until all is analysed anew, it is found as before; and a tenant of a name with slashes is no other."""
    await fill(service, GERMAN, ENGLISH, tenant_id="a/b")

    assert (await set_language(service, "de", "a/b"))["reanalyzing"]
    assert await found(service, "the zebra is running", tenant_id="a/b") == [ENGLISH]
    assert await found(service, "Haus", tenant_id="a/b") == []

    assert await reanalyze_all(service) == ["a/b"]

    assert not (await language_of(service, "a/b"))["reanalyzing"]
    assert await found(service, "Haus", tenant_id="a/b") == [GERMAN]


async def test_a_language_that_is_deleted_gives_way_to_the_settings(service: Service) -> None:
    await set_language(service, "de")
    await fill(service, ENGLISH)

    answer = await service.client.delete("/v1/admin/languages/acme")
    assert answer.status_code == 204
    assert (await language_of(service))["reanalyzing"]
    await reanalyze_all(service)

    assert await language_of(service) == {**await language_of(service), "language": "en", "default": True}
    assert await found(service, "zebra run") == [ENGLISH]


async def test_what_is_set_to_what_it_was_is_not_analysed_anew(service: Service) -> None:
    await store(service)

    assert not (await set_language(service, "en"))["reanalyzing"]
    assert await reanalyze_all(service) == []


async def test_a_message_in_another_language_is_found_in_both(service: Service) -> None:
    """By its own when the query says so, and by the tenant's as any other."""
    await fill(service, GERMAN, language="de")

    assert await found(service, "Häusern", language="de") == [GERMAN]
    assert await found(service, "Häuser") == [GERMAN]
    assert await found(service, "Häusern") == []


async def test_the_language_of_a_message_is_kept_and_can_be_changed(service: Service) -> None:
    stored = await store(service, GERMAN, language="de")
    assert (stored["language"], await found(service, "Haus", language="de")) == ("de", [GERMAN])

    assert (await change(service, stored["id"], language=None))["language"] is None
    assert await found(service, "Haus", language="de") == []
    assert (await change(service, stored["id"], metadata={"a": 1}, language="de"))["language"] == "de"
    assert await found(service, "Haus", language="de") == [GERMAN]
    assert await reanalyze_all(service) == []


@pytest.mark.parametrize("speaking", [{"detect_language": True}], indirect=True)
async def test_a_language_is_detected_where_the_settings_or_the_tenant_want_it(speaking: Service) -> None:
    await fill(speaking, GERMAN)
    await set_language(speaking, "en", "globex", detect=False)
    await fill(speaking, GERMAN, tenant_id="globex")

    assert await found(speaking, "Haus", language="de") == [GERMAN]
    assert await found(speaking, "Haus", language="de", tenant_id="globex") == []


@pytest.mark.parametrize("code", ["english", "xx", "EN", "", "de-DE", 7])
async def test_a_code_that_is_none_is_refused(service: Service, code: object) -> None:
    answers = [
        await service.client.put("/v1/admin/languages/acme", json={"language": code}),
        await service.client.post("/v1/messages", json=message(language=code)),
        await service.client.post("/v1/memory/search", json={"tenant_id": "acme", "query": "x", "language": code}),
    ]

    assert [error_of(answer)["code"] for answer in answers] == ["validation_error"] * 3


async def test_a_tenants_administrator_sets_its_own_language_alone(service: Service) -> None:
    key = await make(service, "acme", KeyScope.ADMIN)
    reader = await make(service, "acme", KeyScope.READ, KeyScope.WRITE)
    body = {"language": "de"}

    async def put(tenant_id: str, by: CreatedKey) -> int:
        answer = await service.client.put(f"/v1/admin/languages/{tenant_id}", json=body, headers=sent(by))
        return answer.status_code

    assert [await put("acme", key), await put("globex", key), await put("acme", reader)] == [200, 403, 403]
