"""A message is found by its words from the moment of the 202, and by its meaning once it is embedded."""

from tests.integration.service import Service

ADA = {"tenant_id": "acme", "conversation_id": "c1", "role": "user", "content": "I love Python programming"}


async def test_found_by_words_before_it_is_embedded(service: Service) -> None:
    stored = await service.client.post("/v1/messages", json=ADA)
    assert stored.status_code == 202
    assert stored.json()["embedding_status"] == "pending"

    answer = (await service.client.get("/v1/memory/search", params={"tenant_id": "acme", "query": "python"})).json()

    assert [hit["message_id"] for hit in answer["items"]] == [stored.json()["id"]]
    assert answer["items"][0]["similarity"] is None
    assert answer["total"] == 1
    assert not answer["degraded"]


async def test_found_by_meaning_once_embedded(service: Service) -> None:
    stored = await service.client.post("/v1/messages", json=ADA)
    await service.embed_all()

    search = {"tenant_id": "acme", "query": "coding languages"}
    answer = (await service.client.get("/v1/memory/search", params=search)).json()

    assert [hit["message_id"] for hit in answer["items"]] == [stored.json()["id"]]
    assert answer["items"][0]["similarity"] > 0.1
    assert 0 <= answer["items"][0]["importance"] <= 1
