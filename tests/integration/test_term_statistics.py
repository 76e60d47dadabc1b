"""What is counted of a tenant's words, right after everything that changes it."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from io import BytesIO
from uuid import uuid4

import pytest

from deployments.embedding.spaces import OneSpace
from deployments.embedding.worker import EmbeddingWorker
from deployments.errors import EmbeddingRejectedError
from tests.integration.calls import Json, change, get, message, store, store_many
from tests.integration.failing import Scripted, Squeamish
from tests.integration.postgres import SPACE
from tests.integration.recount import Counted, execute, holders, make_large, recounted
from tests.integration.service import Service, score

WORDS = ["apple", "pear", "cherry", "plum", "quince", "medlar", "sorb", "damson", "sloe", "bullace"]
DATE = {"created_at": "2023-05-07T10:00:00Z"}
IMPORT = """
    INSERT INTO messages (id, tenant_id, conversation_id, role, content, embedding, embedding_status, terms, archived,
                          created_at, updated_at)
    SELECT gen_random_uuid(), 'tenant ' || n % 3, 'c1', 'user', said,
           CASE WHEN n % 4 > 0 THEN array_fill((n % 5 - 2.0)::real / 10, ARRAY[256])::vector::halfvec END,
           CASE WHEN n % 4 > 0 THEN 'completed' WHEN n % 8 = 0 THEN 'pending' ELSE 'failed' END,
           message_terms('english', NULL, said, now()), n % 6 = 0, now(), now()
    FROM generate_series(1, {rows}) AS n, LATERAL (SELECT 'word' || n % 17 || ' and term' || n % 11 AS said) AS s
"""


@pytest.fixture(autouse=True)
async def _large(service: Service) -> None:
    """Terms and sums are kept for large tenants alone."""
    await make_large(service, "acme", "globex", *(f"tenant {n}" for n in range(3)))


def worker_with(service: Service, provider: Scripted) -> EmbeddingWorker:
    return EmbeddingWorker(
        service.jobs, OneSpace(SPACE, provider), score, service.settings.embedding, batch_size=128, concurrency=1
    )


async def test_a_message_is_counted_once_it_is_embedded_with_name_and_date(service: Service) -> None:
    await store(service, "apples and more apples", name="Ada", **DATE)
    assert await recounted(service) == {}

    await service.embed_all()

    assert await recounted(service) == {"acme": Counted(messages=1, term_count=8, embedded=1)}
    assert await holders(service, "acme", "appl", "ada", "7", "may", "2023", "and") == [1, 1, 1, 1, 1, 1]


async def test_a_message_whose_embedding_failed_is_counted(service: Service) -> None:
    await store(service, "apples", **DATE)

    await worker_with(service, Scripted(EmbeddingRejectedError("The text is not allowed."))).work_once()

    assert await recounted(service) == {"acme": Counted(messages=1, term_count=4, embedded=0)}


async def test_a_failed_message_is_not_counted_while_it_is_tried_again(service: Service) -> None:
    stored = await store(service, "apples", **DATE)
    await worker_with(service, Scripted(EmbeddingRejectedError("The text is not allowed."))).work_once()

    await service.client.post(f"/v1/messages/{stored['id']}/retry")
    assert await recounted(service) == {}

    await service.embed_all()
    assert await recounted(service) == {"acme": Counted(messages=1, term_count=4, embedded=1)}


@pytest.mark.parametrize(("field", "value"), [("content", "pears of all sorts"), ("name", "Grace Hopper")])
async def test_a_message_that_says_something_else_is_counted_anew(service: Service, field: str, value: str) -> None:
    changed, _ = [await store(service, "apples", name="Ada", **DATE) for _ in range(2)]
    await service.embed_all()

    await change(service, changed["id"], **{field: value})
    assert await recounted(service) == {"acme": Counted(messages=1, term_count=5, embedded=1)}

    await service.embed_all()
    # Of the message that stays, five; of the other eight where its content is another, and six where its name is.
    length = 13 if field == "content" else 11
    assert await recounted(service) == {"acme": Counted(messages=2, term_count=length, embedded=2)}
    assert await holders(service, "acme", "appl", "ada", "may") == ([1, 2, 2] if field == "content" else [2, 1, 2])


@pytest.mark.parametrize("fields", [{"metadata": {"a": 1}}, {"importance_override": 0.5}])
async def test_what_changes_no_word_changes_no_count(service: Service, fields: Json) -> None:
    stored = await store(service, "apples", **DATE)
    await service.embed_all()
    before = await recounted(service)

    await change(service, stored["id"], **fields)

    assert await recounted(service) == before == {"acme": Counted(messages=1, term_count=4, embedded=1)}


async def test_deleted_messages_are_not_counted(service: Service) -> None:
    stored = await store_many(service, [message(word, **DATE) for word in WORDS])
    await service.embed_all()

    await service.client.delete(f"/v1/messages/{stored[0]['id']}")

    assert await recounted(service) == {"acme": Counted(messages=9, term_count=36, embedded=9)}
    assert await holders(service, "acme", "appl", "pear", "may") == [0, 1, 9]


async def test_a_deleted_conversation_is_not_counted(service: Service) -> None:
    await store_many(service, [message(word, conversation_id=f"c{n % 3}", **DATE) for n, word in enumerate(WORDS)])
    await service.embed_all()
    await store(service, "pending", conversation_id="c0")

    await service.client.delete("/v1/conversations/c0", params={"tenant_id": "acme"})

    assert await recounted(service) == {"acme": Counted(messages=6, term_count=24, embedded=6)}


async def test_archived_messages_are_not_counted_until_they_are_back(service: Service) -> None:
    await store_many(service, [message(word, **DATE) for word in WORDS])
    await service.embed_all()

    await execute(service, "UPDATE messages SET archived = true WHERE content IN ('apple', 'pear')")
    assert await recounted(service) == {"acme": Counted(messages=8, term_count=32, embedded=10)}
    assert await holders(service, "acme", "appl", "pear", "may") == [0, 0, 8]

    await execute(service, "UPDATE messages SET archived = NOT archived")
    assert await holders(service, "acme", "appl", "pear", "may") == [1, 1, 2]

    await execute(service, "UPDATE messages SET archived = false")
    assert await recounted(service) == {"acme": Counted(messages=10, term_count=40, embedded=10)}


async def test_an_archived_message_that_is_deleted_is_not_taken_off_twice(service: Service) -> None:
    await store_many(service, [message(word, **DATE) for word in WORDS])
    await service.embed_all()

    await execute(service, "UPDATE messages SET archived = true WHERE content < 'd'")
    await execute(service, "DELETE FROM messages WHERE content < 'd'")

    assert await recounted(service) == {"acme": Counted(messages=7, term_count=28, embedded=7)}


async def test_rows_that_arrive_complete_are_counted_for_each_of_their_tenants(service: Service) -> None:
    """As an import does; one statement for several tenants."""
    await execute(service, IMPORT.format(rows=100))
    assert set(await recounted(service)) == {"tenant 0", "tenant 1", "tenant 2"}

    await execute(service, "UPDATE messages SET archived = NOT archived, embedding_status = 'failed'")
    await recounted(service)

    await execute(service, "DELETE FROM messages WHERE tenant_id <> 'tenant 1'")
    assert set(await recounted(service)) == {"tenant 1"}


async def test_rows_that_are_copied_in_are_counted(service: Service) -> None:
    """As `pg_restore` does."""
    row = {
        "id": str(uuid4()),
        "tenant_id": "acme",
        "conversation_id": "c1",
        "role": "user",
        "content": "two apples",
        "embedding_status": "failed",
        "terms": "'appl':2 'two':1",
        "created_at": "2023-05-07 10:00Z",
        "updated_at": "2023-05-07 10:00Z",
    }
    source = BytesIO("\t".join(row.values()).encode())
    async with service.database.connection() as connection:
        await connection.copy_to_table("messages", source=source, columns=list(row))

    assert await recounted(service) == {"acme": Counted(messages=1, term_count=2, embedded=0)}


async def test_a_message_that_moves_to_another_tenant_is_counted_there(service: Service) -> None:
    """As an operator does who renames a tenant, or puts two together."""
    await store_many(service, [message("apples", **DATE), message("pears", tenant_id="globex", **DATE)])
    await service.embed_all()

    await execute(service, "UPDATE messages SET tenant_id = 'globex' WHERE tenant_id = 'acme'")

    assert await recounted(service) == {"globex": Counted(messages=2, term_count=8, embedded=2)}
    assert await holders(service, "acme", "appl") == [0]


async def test_a_large_change_after_small_ones_is_counted_in_a_moment(service: Service) -> None:
    """A plan of the small change, kept for the session, would compare each row with each other: minutes here."""
    await execute(service, "DROP INDEX messages_embedding")
    await execute(service, IMPORT.format(rows=30_000))
    async with service.database.connection() as connection:
        await connection.execute("SET statement_timeout = '20s'")
        for n in range(3):
            await connection.execute(
                "UPDATE messages SET archived = NOT archived WHERE id = (SELECT id FROM messages OFFSET $1 LIMIT 1)", n
            )
        await connection.execute("UPDATE messages SET archived = NOT archived")
        await connection.execute("RESET statement_timeout")

    await recounted(service)


async def test_a_term_too_long_for_an_index_stops_no_worker(service: Service) -> None:
    """What cannot be counted could neither be embedded nor given up, and would hold up all that is claimed with it."""
    seeded = random.Random(7)
    tenant_id = "".join(chr(seeded.randint(0x4E00, 0x9FFF)) for _ in range(255))
    endless = "".join(seeded.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(2_040))
    await make_large(service, tenant_id)
    stored = [await store(service, content, tenant_id=tenant_id) for content in (endless, "apples")]
    other = await store(service, "apples")

    await service.embed_all()

    for each in (*stored, other):
        assert (await get(service, each["id"]))["embedding_status"] == "completed"
    assert await holders(service, tenant_id, "appl", endless) == [1, 0]
    await service.client.delete(f"/v1/messages/{stored[0]['id']}")
    await service.client.delete("/v1/conversations/c1", params={"tenant_id": tenant_id})
    assert set(await recounted(service)) == {"acme"}


Operation = Callable[[], Awaitable[object]]


class Actions:
    """What can happen to messages, each time to others; a seed makes it the same each time."""

    def __init__(self, service: Service, seed: int) -> None:
        self.service = service
        self.random = random.Random(seed)
        self.ids: list[str] = []
        self.tenants = ("acme", "acme", "acme", "globex")

    def text(self) -> str:
        said = " ".join(self.random.choices(WORDS, k=self.random.randint(1, 12)))
        return f"{said} forbidden" if self.random.random() < 0.1 else said

    def one(self) -> str:
        return self.random.choice(self.ids)

    async def store(self) -> None:
        new = [
            message(
                self.text(),
                tenant_id=self.random.choice(self.tenants),
                conversation_id=f"c{self.random.randrange(6)}",
                name=self.random.choice([None, "Ada", "Grace Hopper"]),
                created_at=f"2023-{self.random.randint(1, 12):02}-01T00:00:00Z",
            )
            for _ in range(self.random.randint(1, 5))
        ]
        self.ids += [each["id"] for each in await store_many(self.service, new)]

    async def change(self) -> None:
        fields: Json = self.random.choice(
            [{"content": self.text()}, {"name": "Grace"}, {"name": None}, {"metadata": {"a": 1}}, {"content": "apple"}]
        )
        answer = await self.service.client.patch(f"/v1/messages/{self.one()}", json=fields)
        assert answer.status_code in {200, 404}, answer.text

    async def delete(self) -> None:
        answer = await self.service.client.delete(f"/v1/messages/{self.one()}")
        assert answer.status_code in {204, 404}, answer.text

    async def delete_conversation(self) -> None:
        answer = await self.service.client.delete(
            f"/v1/conversations/c{self.random.randrange(6)}", params={"tenant_id": self.random.choice(self.tenants)}
        )
        assert answer.status_code in {204, 404}, answer.text

    async def retry(self) -> None:
        answer = await self.service.client.post("/v1/admin/embeddings/retry", json={"tenant_id": "acme"})
        assert answer.status_code == 202, answer.text

    async def archive(self) -> None:
        some = "UPDATE messages SET archived = NOT archived WHERE get_byte(uuid_send(id), 15) % 4 = $1"
        await execute(self.service, some, self.random.randrange(4))

    async def work(self) -> None:
        await worker_with(self.service, Squeamish()).work_once()


@pytest.mark.parametrize("seed", range(3))
async def test_the_counts_are_right_after_each_of_many_random_operations(service: Service, seed: int) -> None:
    actions = Actions(service, seed)
    await actions.store()
    choices: list[Operation] = [
        *[actions.store] * 4, *[actions.work] * 4, *[actions.change] * 3, actions.delete, actions.delete_conversation,
        actions.retry, actions.archive,
    ]  # fmt: skip
    for _ in range(80):
        await actions.random.choice(choices)()
        await recounted(service)


async def test_the_counts_are_right_after_all_of_it_at_once(service: Service) -> None:
    """Workers, stores, changes and deletes touch the rows of the same terms in one order: none of them deadlocks."""
    actions = Actions(service, 11)
    actions.tenants = ("acme",) * 4
    for _ in range(40):
        await actions.store()
    busy = [True]

    async def work() -> None:
        while busy[0]:
            await worker_with(service, Squeamish()).work_once()
            await asyncio.sleep(0)

    async def act(choices: list[Operation]) -> None:
        for _ in range(60):
            await actions.random.choice(choices)()

    workers = [asyncio.create_task(work()) for _ in range(4)]
    try:
        await asyncio.gather(
            *(act([actions.store]) for _ in range(2)),
            *(act([actions.change]) for _ in range(4)),
            *(act([actions.delete, actions.delete, actions.change, actions.retry]) for _ in range(2)),
        )
    finally:
        busy[0] = False
        await asyncio.gather(*workers)

    counted = await recounted(service)
    assert counted["acme"].messages > 50
    await service.embed_all()
    assert (await recounted(service))["acme"].messages >= counted["acme"].messages
