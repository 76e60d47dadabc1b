"""From one embedding space to another, and back, while the service is used."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from deployments.embedding.providers.local import LocalProvider
from deployments.embedding.worker import EmbeddingWorker
from deployments.errors import ConfigurationError
from deployments.schemas.search import SearchRequest
from deployments.schemas.vectors import EmbeddingSpace, QueryVector
from deployments.settings import Settings
from deployments.storage.embeddings.jobs import Result
from deployments.storage.embeddings.reembedding import Filled, Outcome, reembedding
from deployments.storage.embeddings.spaces import OtherState
from deployments.storage.postgres.schema import prepare
from deployments.storage.search.candidates import CandidateRepository
from jobs.reembedding import running
from tests.integration.calls import analyzed, change, search, store
from tests.integration.postgres import SPACE
from tests.integration.recount import execute, make_large, recounted
from tests.integration.service import Service
from tests.integration.two_spaces import SMALL, TO_SMALL, fill, not_embedded, replica, run, spaces
from tests.paths import ROOT


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """No replica needs time here to meet a new space."""
    monkeypatch.setattr(running, "KNOWN_SECONDS", 0.0)
    monkeypatch.setattr(running, "TURN_SECONDS", 0.01)


@pytest.fixture
async def first(settings: Settings) -> AsyncIterator[Service]:
    """A replica with messages of two tenants."""
    async with replica(settings) as service:
        await fill(service)
        await fill(service, 12, "globex")
        yield service


@pytest.fixture
async def second(settings: Settings, first: Service) -> AsyncIterator[Service]:
    """Another replica, which embeds nothing."""
    async with replica(settings) as service:
        yield service


async def similarities(service: Service, query: str) -> tuple[bool, dict[str, float]]:
    """Whether the search was degraded, and each hit's similarity to the query."""
    answer = await search(service, query, top_k=5)
    return answer["degraded"], {hit["message_id"]: hit["similarity"] for hit in answer["items"]}


async def assert_searched_in(service: Service, space: EmbeddingSpace) -> None:
    """The similarities are those of one space's vectors, and of no other's."""
    provider = LocalProvider(space)
    query = "how many cherries are there"
    degraded, found = await similarities(service, query)
    (vector,) = await provider.embed_queries([query])
    async with service.database.connection() as connection:
        rows = await connection.fetch("SELECT id, embedding::real[] AS e FROM messages WHERE tenant_id = 'acme'")
    await provider.close()
    expected = {str(row["id"]): float(vector @ row["e"]) for row in rows if len(row["e"]) == space.dimensions}
    assert not degraded
    assert len(found) == 5
    assert found == pytest.approx({each: expected[each] for each in found}, abs=2e-3)


async def test_there_and_back_and_dropped_without_a_restart(first: Service, second: Service) -> None:
    await assert_searched_in(first, SPACE)

    assert await run(*TO_SMALL) == 0
    assert await not_embedded(first, 128, 256) == 0
    for service in (first, second):
        await assert_searched_in(service, SMALL)
    await recounted(first)

    assert await run("--back") == 0
    assert await not_embedded(first, 256, 128) == 0
    for service in (first, second):
        await assert_searched_in(service, SPACE)

    assert await run(*TO_SMALL) == 0
    assert await run("--drop") == 0
    assert await not_embedded(first, 128, None) == 0
    for service in (first, second):
        await assert_searched_in(service, SMALL)
    assert (await spaces(first)).other is None
    await recounted(first)


async def test_what_is_written_before_during_and_after_lands_in_both(
    first: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also what a replica writes that has not met the second space yet, and what one writes that last met the first."""
    stale = first
    assert await run(*TO_SMALL, "--no-switch") == 0
    await store(stale, "written by who does not know the other")
    await stale.embed_all()
    assert await not_embedded(first, 256, 128) == 1

    assert await run(*TO_SMALL) == 0
    assert await not_embedded(first, 128, 256) == 0
    await store(stale, "written by who takes the first for the active one")
    await stale.embed_all()

    assert await not_embedded(first, 128, 256) == 0
    await recounted(first)
    await assert_searched_in(first, SMALL)


async def test_with_a_hole_they_do_not_change_places(first: Service) -> None:
    """One that came after all were filled."""
    assert await run(*TO_SMALL, "--no-switch") == 0
    await store(first, "written by who does not know the other")
    await first.embed_all()

    async with reembedding(first.database) as repository:
        assert await repository.switch() is Outcome.HOLES

    assert (await spaces(first)).active.space == SPACE
    assert await not_embedded(first, 256, 128) == 1


async def test_what_a_message_said_before_is_forgotten_in_both(first: Service) -> None:
    assert await run(*TO_SMALL, "--no-switch") == 0
    changed = await store(first, "said before")
    await first.spaces.refresh()
    await first.embed_all()
    async with reembedding(first.database) as repository:
        before = await repository.count()
        assert before == Filled(37, 37)

        await change(first, changed["id"], content="said now")

        assert await repository.count() == Filled(36, 36)
    await recounted(first)


async def test_no_request_fails_or_is_degraded_meanwhile(first: Service, second: Service) -> None:
    stopping = asyncio.Event()
    done = count()
    working = [asyncio.create_task(each.worker.run()) for each in (first, second)]
    using = [asyncio.create_task(use(each, stopping, done)) for each in (first, second)]

    for arguments in (TO_SMALL, ("--back",), TO_SMALL, ("--drop",)):
        assert await run(*arguments) == 0
    stopping.set()
    await asyncio.gather(*using)
    async with asyncio.timeout(30):
        while (await first.jobs.counts()).pending:  # noqa: ASYNC110 - Postgres sets no event
            await asyncio.sleep(0.05)
    for task in working:
        task.cancel()
    await asyncio.wait(working)

    assert next(done) > 20
    assert await not_embedded(first, 128, None) == 0
    await recounted(first)


async def use(service: Service, stopping: asyncio.Event, done: "count[int]") -> None:
    """Store, change, delete and search, until told to stop; `store` and its like fail the test where one is refused."""
    while not stopping.is_set():
        stored = await store(service, f"a basket of pears {next(done)}")
        assert not (await search(service, "pears in the basket"))["degraded"]
        await change(service, stored["id"], content=f"a basket of plums {next(done)}")
        gone = await store(service, "soon gone")
        assert (await service.client.delete(f"/v1/messages/{gone['id']}")).status_code == 204
        assert not (await search(service, "plums in the basket"))["degraded"]


@pytest.mark.parametrize("exact", [True, False])
async def test_a_vector_of_another_space_is_compared_with_nothing(first: Service, exact: bool) -> None:
    """Not even where it has as many dimensions."""
    candidates = CandidateRepository(first.database, first.settings.search)
    request = SearchRequest(tenant_id="acme", query="cherries")
    (vector,) = await first.worker._embedder.embed_queries([("cherries", None)])  # type: ignore[attr-defined]
    await make_large(first, "acme")
    await execute(first, "UPDATE messages SET updated_at = updated_at")

    found = await candidates.find(request, analyzed(request), vector, exact=exact, limit=10)
    assert found.corpus.near == 10
    assert found.corpus.space == SPACE
    for space, values in ((EmbeddingSpace("another", 256), vector.values), (SMALL, vector.values[:128])):
        foreign = await candidates.find(request, analyzed(request), QueryVector(space, values), exact=exact, limit=10)
        assert (foreign.corpus.near, foreign.corpus.space) == (0, SPACE)
        assert foreign.found
        assert {each.similarity for each in foreign.found} == {each.closeness for each in foreign.found} == {None}
    nobodys = SearchRequest(tenant_id="nobody", query="x")
    small = QueryVector(SMALL, vector.values[:128])
    nothing = await candidates.find(nobodys, analyzed(nobodys), small, exact=exact, limit=10)
    assert (nothing.found, nothing.corpus.space) == ([], SPACE)


async def test_what_is_under_way_in_a_space_that_is_dropped_ends_well(first: Service) -> None:
    assert await run(*TO_SMALL, "--no-switch") == 0
    await first.spaces.refresh()
    long = "how many cherries are there " * 2_000
    asked = asyncio.create_task(first.spaces.embed_queries([(f"{long} {n}", SMALL) for n in range(20)]))
    await asyncio.sleep(0)

    assert await run("--drop") == 0
    await first.spaces.refresh()

    assert [type(each) for each in await asked] == [QueryVector] * 20


async def test_vectors_go_where_their_space_is_now(first: Service) -> None:
    assert await run(*TO_SMALL) == 0
    stored = [await store(first, content) for content in ("one", "two")]
    claim_id = uuid4()
    jobs = await first.jobs.claim(claim_id, 2, 30)
    provider = LocalProvider(SPACE)
    (old,) = await provider.embed_documents(["one"])
    await provider.close()
    small = old[:128]

    alone = [Result(job.message_id, old, 0.5) for job in jobs]
    assert await first.jobs.complete(claim_id, alone, SPACE) is None
    (one, two) = jobs
    assert await first.jobs.complete(claim_id, [Result(one.message_id, old, 0.5, small)], SPACE, SMALL) == 1
    assert await first.jobs.complete(claim_id, [Result(two.message_id, small, 0.5)], SMALL) == 1

    async with first.database.connection() as connection:
        rows = await connection.fetch(
            "SELECT vector_dims(embedding) AS e, vector_dims(other_embedding) AS o FROM messages WHERE id = ANY($1)"
            " ORDER BY created_at",
            [each["id"] for each in stored],
        )
    assert [tuple(row) for row in rows] == [(128, 256), (128, None)]


async def test_a_worker_without_the_active_space_looks_again(settings: Settings, first: Service) -> None:
    """It met neither the new space nor the switch."""
    worker: EmbeddingWorker = first.worker
    assert await run(*TO_SMALL) == 0
    await store(first, "after the switch")

    await worker.work_once()

    assert await not_embedded(first, 128, 256) == 0


def test_a_start_names_any_space_that_there_was(
    settings: Settings, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def starts(dimensions: int) -> bool:
        with monkeypatch.context() as environment, suppress(ConfigurationError):
            environment.setenv("MEMORY_EMBEDDING_DIMENSIONS", str(dimensions))
            prepare(Settings.load())
            return True
        return False

    prepare(settings)
    assert [starts(each) for each in (256, 128, 64)] == [True, False, False]
    assert asyncio.run(run(*TO_SMALL, "--no-switch")) == 0
    assert [starts(each) for each in (256, 128, 64)] == [True, True, False]
    assert asyncio.run(run(*TO_SMALL)) == 0
    assert [starts(each) for each in (256, 128, 64)] == [True, True, False]
    assert asyncio.run(run("--back")) == 0
    assert asyncio.run(run("--drop")) == 0
    assert [starts(each) for each in (256, 128, 64)] == [True, True, False]


async def test_a_replica_that_starts_with_settings_of_before_uses_what_is_active(
    settings: Settings, first: Service
) -> None:
    assert await run(*TO_SMALL) == 0
    assert await run("--drop") == 0

    async with replica(settings) as late:
        await store(late, "stored by the late one")
        await late.embed_all()
        await assert_searched_in(late, SMALL)
    assert await not_embedded(first, 128, None) == 0


async def test_it_does_not_switch_to_what_a_replica_cannot_use(
    first: Service, stand_in_environment: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The job has the key, the replica has none."""
    assert await run("--provider", "google_gemini", "--dimensions", "64", "--no-switch") == 0
    await first.spaces.refresh()
    await first.spaces.try_the_new_one()
    assert await run("--status") == 0
    assert "a replica cannot use it: MEMORY_GEMINI_API_KEY" in capsys.readouterr().out

    assert await run("--provider", "google_gemini", "--dimensions", "64") == 1
    assert "MEMORY_GEMINI_API_KEY" in capsys.readouterr().err
    assert (await spaces(first)).active.space == SPACE
    await assert_searched_in(first, SPACE)

    assert await run("--provider", "google_gemini", "--dimensions", "64", "--force") == 0
    degraded, found = await similarities(first, "cherries")
    assert degraded
    assert found


@pytest.fixture
def stand_in_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A key, and a server that knows it."""
    from tests.unit.embedding.stand_in import StandIn  # noqa: PLC0415 - no other test here needs it

    server = StandIn()
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("MEMORY_GEMINI_API_KEY", "key")
    monkeypatch.setenv("MEMORY_GEMINI_API_ENDPOINT", server.address)
    yield
    server.close()


async def test_what_overlaps_too_little_is_not_switched_to(first: Service, capsys: pytest.CaptureFixture[str]) -> None:
    assert await run(*TO_SMALL, "--least-overlap", "100") == 1

    said = capsys.readouterr()
    assert "overlap@10" in said.out
    assert "100 %" in said.err
    now = await spaces(first)
    assert (now.active.space, now.other_state) == (SPACE, OtherState.NEXT)
    assert await run("--drop") == 0
    assert (await spaces(first)).other is None
    assert await not_embedded(first, 256, None) == 0


async def test_labelled_questions_are_asked_in_both_spaces(first: Service, capsys: pytest.CaptureFixture[str]) -> None:
    questions = str(ROOT / "tests" / "retrieval" / "garden-shop.jsonl")

    assert await run(*TO_SMALL, "--questions", questions, "--no-switch") == 0

    said = capsys.readouterr().out
    assert "recall@10" in said
    assert f"{SPACE.model} (256)" in said
    assert f"{SPACE.model} (128)" in said


async def test_a_database_without_messages(settings: Settings) -> None:
    for arguments in (TO_SMALL, ("--back",), ("--drop",), ("--status",)):
        assert await run(*arguments) == 0


REFUSED: list[tuple[Any, int, str]] = [
    (("--provider", "local", "--dimensions", "100"), 2, "MEMORY_EMBEDDING_DIMENSIONS"),
    (("--provider", "local", "--model", "other"), 2, "--model"),
    (("--provider", "e5", "--model", "other"), 2, "--model"),
    (("--provider", "google_gemini"), 2, "MEMORY_GEMINI_API_KEY"),
    (("--provider", "openai_compatible", "--model", "unheard-of"), 2, "MEMORY_EMBEDDING_DIMENSIONS"),
    (("--back",), 1, "no space to go back to"),
    ((*TO_SMALL, "--questions", str(Path("nowhere.jsonl"))), 2, "nowhere.jsonl"),
]


@pytest.mark.usefixtures("settings")
@pytest.mark.parametrize(("arguments", "status", "word"), REFUSED)
async def test_what_makes_no_sense_is_refused_in_one_line(
    arguments: tuple[str, ...], status: int, word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await run(*arguments) == status

    (line,) = capsys.readouterr().err.splitlines()
    assert word in line


@pytest.mark.parametrize(
    "option",
    ["--dimensions=0", "--dimensions=4001", "--batch=0", "--least-overlap=101", "--rate=0", "--base-url=host:80"],
)
async def test_what_is_out_of_bounds_is_refused(option: str) -> None:
    with pytest.raises(SystemExit) as raised:
        await run("--provider", "local", option)
    assert raised.value.code == 2


async def test_one_space_at_a_time(first: Service, capsys: pytest.CaptureFixture[str]) -> None:
    other = ("--provider", "local", "--dimensions", "64")
    assert await run(*TO_SMALL, "--no-switch") == 0
    assert await run(*other) == 1
    assert "is to be the next" in capsys.readouterr().err
    assert await run("--back") == 1

    assert await run(*TO_SMALL) == 0
    assert await run(*other) == 1
    assert "is kept for going back" in capsys.readouterr().err
    assert await run(*TO_SMALL) == 0
    assert "active already" in capsys.readouterr().out
