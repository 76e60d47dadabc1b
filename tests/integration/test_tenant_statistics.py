"""How many of a tenant's messages have a vector, and their sum, right after everything that changes it."""

import pytest

from tests.integration.calls import change, message, store, store_many
from tests.integration.recount import execute, make_large, recounted
from tests.integration.service import Service


@pytest.fixture(autouse=True)
async def _large(service: Service) -> None:
    """Terms and sums are kept for large tenants alone."""
    await make_large(service, "acme", "globex")


async def embedded(service: Service) -> dict[str, int]:
    """What is recorded, which must be what is there."""
    return {tenant: counted.embedded for tenant, counted in (await recounted(service)).items() if counted.embedded}


async def test_a_message_counts_once_it_is_embedded(service: Service) -> None:
    await store_many(service, [message("a"), message("b"), message("c", tenant_id="globex")])
    assert await embedded(service) == {}

    await service.embed_all()

    assert await embedded(service) == {"acme": 2, "globex": 1}


async def test_a_changed_message_counts_again_once_it_is_embedded_again(service: Service) -> None:
    first, _ = await store(service, "a"), await store(service, "b")
    await service.embed_all()

    await change(service, first["id"], content="c")
    assert await embedded(service) == {"acme": 1}

    await service.embed_all()
    assert await embedded(service) == {"acme": 2}


async def test_a_change_that_is_not_embedded_again_changes_no_count(service: Service) -> None:
    stored = await store(service)
    await service.embed_all()

    await change(service, stored["id"], metadata={"a": 1})

    assert await embedded(service) == {"acme": 1}


async def test_a_deleted_message_does_not_count(service: Service) -> None:
    stored = [await store(service, content) for content in "ab"]
    await service.embed_all()
    pending = await store(service, "c")

    for each in (stored[0], pending):
        await service.client.delete(f"/v1/messages/{each['id']}")

    assert await embedded(service) == {"acme": 1}


async def test_a_deleted_conversation_does_not_count(service: Service) -> None:
    await store_many(service, [message("a"), message("b"), message("c", conversation_id="c2")])
    await service.embed_all()

    await service.client.delete("/v1/conversations/c1", params={"tenant_id": "acme"})

    assert await embedded(service) == {"acme": 1}


async def test_an_archived_message_keeps_its_vector_and_its_count(service: Service) -> None:
    await store(service)
    await service.embed_all()

    await execute(service, "UPDATE messages SET archived = true")

    assert await embedded(service) == {"acme": 1}


async def test_a_vector_that_is_replaced_is_taken_off_the_sum(service: Service) -> None:
    """As an operator does who embeds anew with the same model: nothing but the vectors changes."""
    await store_many(service, [message(f"note {n}") for n in range(5)])
    await service.embed_all()

    await execute(
        service,
        "UPDATE messages SET embedding = (SELECT array_agg((n + d) % 7 - 3.0) FROM generate_series(1, 256) AS d)"
        "::real[]::halfvec FROM (SELECT id AS numbered, row_number() OVER () AS n FROM messages) AS n"
        " WHERE numbered = id",
    )

    assert await embedded(service) == {"acme": 5}


async def test_the_sum_of_an_emptied_tenant_starts_anew(service: Service) -> None:
    """What rounding left in it would else be the mean of whoever comes next."""
    await store_many(service, [message(f"note {n}") for n in range(50)])
    await service.embed_all()
    for half in ("content < 'note 3'", "true"):
        await execute(service, f"DELETE FROM messages WHERE {half}")  # noqa: S608 - constants

    assert await embedded(service) == {}
    async with service.database.connection() as connection:
        assert await connection.fetchval("SELECT embedding_sum IS NULL FROM tenant_statistics")

    await store(service)
    await service.embed_all()
    assert await embedded(service) == {"acme": 1}


async def test_rows_that_arrive_with_their_vectors_count(service: Service) -> None:
    """As a restored dump or an import does."""
    await store(service)
    await service.embed_all()
    await execute(
        service,
        "INSERT INTO messages SELECT gen_random_uuid(), 'globex', conversation_id, role, name, content, metadata,"
        " importance, importance_override, embedding, embedding_status, terms, archived, created_at, updated_at"
        " FROM messages",
    )

    assert await embedded(service) == {"acme": 1, "globex": 1}
