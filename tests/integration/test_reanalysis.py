"""Terms are made anew while the service goes on, by any number of workers, whatever becomes of them."""

import asyncio
import os
import random
import subprocess
import sys
from collections.abc import Awaitable, Callable
from uuid import uuid4

import pytest

from deployments.analysis.policy import LanguagePolicy
from deployments.embedding.reanalysis_worker import ReanalysisWorker
from deployments.storage.messages import reanalyses
from deployments.storage.messages.reanalyses import ReanalysisRepository
from deployments.storage.messages.reanalyzing import Reanalyzer
from jobs.reanalyze import main
from jobs.terminal import MISUSED, OK
from tests.integration.calls import found, message, store, store_many
from tests.integration.many_messages import alike
from tests.integration.reanalyzing import reanalyze, reanalyze_all, reanalyzer
from tests.integration.recount import execute, recounted
from tests.integration.service import Service
from tests.paths import ROOT

COUNT = 50
SMALL = 10
LEASE_SECONDS = 60.0
GERMAN = LanguagePolicy("de")


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a few messages are many batches."""
    monkeypatch.setattr(reanalyses, "BATCH", SMALL)


async def of_a_release_before(service: Service, tenant_id: str = "acme") -> None:
    await execute(service, alike(tenant_id, "user-7@example.org has apples", COUNT))


async def requested_of_a_release_before(service: Service) -> None:
    """Store messages of a release before, and request their re-analysis."""
    await of_a_release_before(service)
    await service.reanalyses.adopt_policy()
    await service.reanalyses.request_unanalyzed()


async def unanalyzed(service: Service) -> int:
    async with service.database.connection() as connection:
        return int(await connection.fetchval("SELECT count(*) FROM messages WHERE analysis IS NULL"))


async def policies(service: Service) -> set[str]:
    async with service.database.connection() as connection:
        rows = await connection.fetch("SELECT DISTINCT analysis FROM messages")
    return {row["analysis"] for row in rows}


async def test_what_a_release_before_stored_is_found_before_and_afterwards(service: Service) -> None:
    await of_a_release_before(service)
    assert len(await found(service, "apple")) == 10
    assert await found(service, "example") == []

    assert await reanalyze_all(service) == ["acme"]

    assert len(await found(service, "apple")) == 10
    assert len(await found(service, "example")) == 10
    assert (await recounted(service))["acme"].messages == COUNT
    assert await policies(service) == {"1/en"}


async def test_all_are_analysed_anew_when_the_settings_change_but_not_by_those_before(service: Service) -> None:
    await store_many(service, [message("Die Häuser am See"), message("houses", tenant_id="globex")])
    await service.embed_all()
    assert await reanalyze_all(service) == []

    later = ReanalysisRepository(service.database, GERMAN)
    await later.adopt_policy()
    assert await reanalyzer(service.reanalyses).reanalyze_next() is None
    # A replica that still goes by the settings of before stores what is analysed once more.
    await store(service, "Die Gärten am See", tenant_id="initech")
    await service.embed_all()
    assert await unanalyzed(service) == 1

    assert sorted(await reanalyze(later)) == ["acme", "globex", "initech"]
    assert await policies(service) == {"1/de"}


async def test_a_pass_waits_until_all_replicas_know(service: Service) -> None:
    await requested_of_a_release_before(service)

    assert await Reanalyzer(service.reanalyses, settling_seconds=3_600).reanalyze_next() is None


async def test_a_claim_that_ran_out_is_taken_up_behind_its_last_batch(service: Service) -> None:
    await requested_of_a_release_before(service)
    dead = await service.reanalyses.claim(uuid4(), LEASE_SECONDS, 0)
    assert dead is not None
    batch = await service.reanalyses.next_batch(dead)
    assert await service.reanalyses.write(dead, batch, ["'apple'"] * SMALL, LEASE_SECONDS) == SMALL
    assert await reanalyzer(service.reanalyses).reanalyze_next() is None

    await execute(service, "UPDATE reanalyses SET leased_until = now()")
    heard: list[int] = []
    assert await reanalyzer(service.reanalyses).reanalyze_next(advance=heard.append) == "acme"

    assert heard == [SMALL] * (COUNT // SMALL - 1)
    assert await service.reanalyses.write(dead, batch, ["'pear'"] * SMALL, LEASE_SECONDS) is None
    assert await found(service, "pear") == []


async def test_what_changes_meanwhile_is_left_to_another_pass(service: Service) -> None:
    await requested_of_a_release_before(service)
    claim = await service.reanalyses.claim(uuid4(), LEASE_SECONDS, 0)
    assert claim is not None
    batch = await service.reanalyses.next_batch(claim)
    changed = batch.messages[0].id
    await execute(service, "UPDATE messages SET content = 'a quince', updated_at = now() WHERE id = $1", changed)

    assert await service.reanalyses.write(claim, batch, ["'apple'"] * SMALL, LEASE_SECONDS) == SMALL - 1
    assert not await service.reanalyses.end(claim, batch.policy)

    await execute(service, "UPDATE reanalyses SET leased_until = now()")
    assert await reanalyze_all(service) == ["acme"]
    assert await found(service, "quince") == ["a quince"]


async def test_a_language_that_changes_again_begins_anew(service: Service) -> None:
    await requested_of_a_release_before(service)
    claim = await service.reanalyses.claim(uuid4(), LEASE_SECONDS, 0)
    assert claim is not None
    batch = await service.reanalyses.next_batch(claim)

    await service.client.put("/v1/admin/languages/acme", json={"language": "de"})

    assert await service.reanalyses.write(claim, batch, ["'apple'"] * SMALL, LEASE_SECONDS) is None
    assert not await service.reanalyses.end(claim, batch.policy)
    assert await reanalyze_all(service) == ["acme"]
    assert await policies(service) == {"1/de"}


async def test_the_worker_takes_up_what_is_there_when_it_starts(service: Service) -> None:
    await of_a_release_before(service)
    worker = ReanalysisWorker(service.reanalyses, reanalyzer(service.reanalyses))

    assert await worker.work_once()
    assert not await worker.work_once()
    assert await policies(service) == {"1/en"}


class Writer:
    """Stores, changes and deletes messages of a tenant, and changes its language, as a seed says."""

    def __init__(self, service: Service, seed: int) -> None:
        self._service = service
        self._random = random.Random(seed)
        self._ids: list[str] = []

    async def write(self) -> None:
        """Do all of it many times."""
        for n in range(40):
            self._ids.append((await store(self._service, self._text()))["id"])
            await self._change()
            if n % 4 == 0:
                await self._service.client.delete(f"/v1/messages/{self._random.choice(self._ids)}")
            if n % 10 == 0:
                await self._set_language()

    def _text(self) -> str:
        return " ".join(self._random.choices(["apple", "pear", "cherry", "plum", "quince", "Häuser"], k=6))

    async def _change(self) -> None:
        path = f"/v1/messages/{self._random.choice(self._ids)}"
        answer = await self._service.client.patch(path, json={"content": self._text()})
        assert answer.status_code in {200, 404}, answer.text

    async def _set_language(self) -> None:
        language = self._random.choice(["de", "en", "fr"])
        answer = await self._service.client.put("/v1/admin/languages/acme", json={"language": language})
        assert answer.status_code == 200, answer.text


async def test_several_at_once_beside_all_that_is_written(service: Service) -> None:
    """None of them deadlocks, and what is counted is right."""
    await of_a_release_before(service)
    await of_a_release_before(service, "globex")
    busy = [True]

    async def keep(do: Callable[[], Awaitable[object]]) -> None:
        while busy[0]:
            await do()
            await asyncio.sleep(0)

    working = [asyncio.create_task(keep(lambda: reanalyze_all(service))) for _ in range(2)]
    working.append(asyncio.create_task(keep(service.worker.work_once)))
    try:
        await asyncio.gather(*(Writer(service, seed).write() for seed in range(2)))
    finally:
        busy[0] = False
        await asyncio.gather(*working)

    await service.embed_all()
    await execute(service, "UPDATE reanalyses SET leased_until = NULL")
    await reanalyze_all(service)
    await recounted(service)
    assert not await service.reanalyses.is_under_way()
    assert not await service.reanalyses.count_stale()


async def test_an_erased_tenant_is_not_analysed_and_has_no_language(service: Service) -> None:
    await of_a_release_before(service)
    await service.client.put("/v1/admin/languages/acme", json={"language": "de"})

    await service.client.delete("/v1/admin/tenants/acme")

    assert await reanalyze_all(service) == []
    assert (await service.client.get("/v1/admin/languages/acme")).json()["default"]


class TestJob:
    """`python -m jobs.reanalyze`."""

    @pytest.fixture(autouse=True)
    def here(self, here: str) -> str:
        """A folder without `.env`."""
        return here

    async def run(self, *arguments: str) -> int:
        return await asyncio.to_thread(main, list(arguments))

    async def test_it_counts_and_does_what_the_service_does(
        self, service: Service, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr("jobs.reanalyze.Reanalyzer", reanalyzer)
        for tenant_id in ("acme", "globex"):
            await of_a_release_before(service, tenant_id)

        assert await self.run("--dry-run") == OK
        assert capsys.readouterr().out == f"acme: {COUNT}\nglobex: {COUNT}\n"
        assert await unanalyzed(service) == 2 * COUNT

        assert await self.run("--tenant", "acme") == OK
        assert await unanalyzed(service) == COUNT
        assert sorted(await asyncio.gather(self.run(), self.run())) == [OK, OK]
        assert await unanalyzed(service) == 0
        assert f"{COUNT} of {COUNT}" in capsys.readouterr().err

    def test_a_language_that_is_none_is_refused(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("MEMORY_SEARCH_LANGUAGE", "klingon")

        assert main([]) == MISUSED
        (line,) = capsys.readouterr().err.splitlines()
        assert "MEMORY_SEARCH_LANGUAGE" in line

    async def test_a_killed_one_goes_on(self, service: Service, database_url: str) -> None:
        """Killed in the middle, it leaves what it did and a claim that runs out."""
        await of_a_release_before(service)
        code = f"""
import os, signal, sys
from deployments.storage.messages import reanalyses, reanalyzing
from jobs import reanalyze
reanalyses.BATCH = {SMALL}
reanalyzing.Reanalyzer.__init__.__kwdefaults__.update(settling_seconds=0, pause_factor=0)
original, calls = reanalyses.ReanalysisRepository.write, []
async def deadly(*given, **named):
    calls.append(await original(*given, **named))
    if len(calls) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return calls[-1]
reanalyses.ReanalysisRepository.write = deadly
sys.exit(reanalyze.main([]))
"""
        done = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-c", code],
            cwd=ROOT,
            env={**os.environ, "MEMORY_DATABASE_URL": database_url},
            capture_output=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == -9, done.stderr
        assert await unanalyzed(service) == COUNT - 2 * SMALL
        await recounted(service)

        await execute(service, "UPDATE reanalyses SET leased_until = now()")
        assert await reanalyze_all(service) == ["acme"]
        assert await unanalyzed(service) == 0
