"""A stored message is found by each of its words at once, whatever the locale of the database."""

from uuid import uuid4

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.integration.calls import message, search, store_many
from tests.integration.service import Service
from tests.unit.search.generated import GENERATED, TEXTS, words_of

WORDS_ALONE = {
    "similarity": 0, "words": 1, "speaker": 0, "time": 0, "importance": 0, "recency": 0, "session": 0, "newer": 0,
    "diversity": 0,
}  # fmt: skip
TEXT = TEXTS.filter(lambda text: text.strip() and "\0" not in text and any(words_of(text)))
# Each example stores and searches: fewer of them find the same faults in a few seconds.
FEW = settings(GENERATED, max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def database_url(localized_database_url: str) -> str:
    """The database that the service runs on, in each of the locales."""
    return localized_database_url


@FEW
@given(texts=st.lists(TEXT, min_size=1, max_size=3))
@example(texts=["She called the boat “Pelican”—finally… Marlow\u2019s hamster🐹", "我住在杭州\uff0c最喜欢喝龙井茶。"])
@example(texts=['std::vector<WidgetHandle> & <order id="A77">', "C:\\temp\\it's 'quoted' \\ 'x':1A"])
async def test_a_message_is_found_by_each_of_its_words(service: Service, texts: list[str]) -> None:
    tenant_id = uuid4().hex
    stored = await store_many(
        service, [message(text, tenant_id=tenant_id, conversation_id=f"c{n}") for n, text in enumerate(texts)]
    )
    for text, each in zip(texts, stored, strict=True):
        for word in words_of(text):
            answer = await search(service, word, tenant_id=tenant_id, weights=WORDS_ALONE)
            scores = {hit["message_id"]: hit["score"] for hit in answer["items"]}
            assert scores.get(each["id"], 0.0) > 0, (word, text)
