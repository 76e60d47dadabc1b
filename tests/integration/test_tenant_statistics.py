"""How many of a tenant's messages have a vector, right after everything that changes it."""

from tests.integration.calls import change, message, store, store_many
from tests.integration.service import Service


async def counted(service: Service) -> dict[str, int]:
    """What is recorded, which must be what is there."""
    actual = "SELECT tenant_id, count(embedding) AS embedded FROM messages GROUP BY tenant_id"
    async with service.database.connection() as connection:
        recorded = await connection.fetch("SELECT tenant_id, embedded FROM tenant_statistics")
        there = await connection.fetch(actual)
    statistics = {row["tenant_id"]: row["embedded"] for row in recorded if row["embedded"]}
    assert statistics == {row["tenant_id"]: row["embedded"] for row in there if row["embedded"]}
    return statistics


async def test_a_message_counts_once_it_is_embedded(service: Service) -> None:
    await store_many(service, [message("a"), message("b"), message("c", tenant_id="globex")])
    assert await counted(service) == {}

    await service.embed_all()

    assert await counted(service) == {"acme": 2, "globex": 1}


async def test_a_changed_message_counts_again_once_it_is_embedded_again(service: Service) -> None:
    first, _ = await store(service, "a"), await store(service, "b")
    await service.embed_all()

    await change(service, first["id"], content="c")
    assert await counted(service) == {"acme": 1}

    await service.embed_all()
    assert await counted(service) == {"acme": 2}


async def test_a_change_that_is_not_embedded_again_changes_no_count(service: Service) -> None:
    stored = await store(service)
    await service.embed_all()

    await change(service, stored["id"], metadata={"a": 1})

    assert await counted(service) == {"acme": 1}


async def test_a_deleted_message_does_not_count(service: Service) -> None:
    stored = [await store(service, content) for content in "ab"]
    await service.embed_all()
    pending = await store(service, "c")

    for each in (stored[0], pending):
        await service.client.delete(f"/v1/messages/{each['id']}")

    assert await counted(service) == {"acme": 1}


async def test_a_deleted_conversation_does_not_count(service: Service) -> None:
    await store_many(service, [message("a"), message("b"), message("c", conversation_id="c2")])
    await service.embed_all()

    await service.client.delete("/v1/conversations/c1", params={"tenant_id": "acme"})

    assert await counted(service) == {"acme": 1}


async def test_rows_that_arrive_with_their_vectors_count(service: Service) -> None:
    """As a restored dump or an import does."""
    await store(service)
    await service.embed_all()
    async with service.database.connection() as connection:
        await connection.execute(
            "INSERT INTO messages SELECT gen_random_uuid(), 'globex', conversation_id, role, name, content, metadata,"
            " importance, importance_override, embedding, embedding_status, terms, archived, created_at, updated_at"
            " FROM messages"
        )

    assert await counted(service) == {"acme": 1, "globex": 1}
