"""Exports and imports on either side of a switch to another embedding space."""

import asyncio
import json
from base64 import b64decode
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from deployments.schemas.transfer import VectorSpace
from deployments.settings import Settings
from deployments.storage.messages.analysis import message_analyzer
from deployments.storage.transfer.imports import ImportRepository, ImportStatus
from jobs.reembedding import running
from jobs.terminal import OK
from jobs.transfer.records import RecordFile
from jobs.transfer.source import ImportedMessage, ImportOptions, read_source
from tests.integration import moving
from tests.integration.postgres import SPACE
from tests.integration.recount import recounted
from tests.integration.service import Service
from tests.integration.two_spaces import TO_SMALL, fill, not_embedded, replica, run

COUNT = 12
OLD = VectorSpace(provider="local", model=SPACE.model, dimensions=SPACE.dimensions)


@pytest.fixture
async def service(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Service]:
    """A replica that meets a new space at once, with messages."""
    monkeypatch.setattr(running, "KNOWN_SECONDS", 0.0)
    monkeypatch.setattr(running, "TURN_SECONDS", 0.01)
    async with replica(settings) as service:
        await fill(service, COUNT)
        yield service


async def export(path: Path) -> Path:
    assert await asyncio.to_thread(moving.run, "export", "acme", path) == OK
    return path


async def test_an_export_says_which_space_its_vectors_are_of(service: Service, tmp_path: Path) -> None:
    before = await export(tmp_path / "before.jsonl.gz")
    assert await run(*TO_SMALL) == 0
    after = await export(tmp_path / "after.jsonl.gz")

    for path, dimensions in ((before, SPACE.dimensions), (after, 128)):
        assert moving.header_of(path)["space"]["dimensions"] == dimensions
        lines = [json.loads(line) for line in moving.lines_of(path)]
        assert {len(b64decode(line["embedding"])) for line in lines} == {2 * dimensions}
        assert len(lines) == COUNT


async def test_vectors_that_come_in_after_a_switch_are_made_anew(service: Service, tmp_path: Path) -> None:
    path = await export(tmp_path / "acme.jsonl.gz")
    with RecordFile(path) as file:
        found = list(read_source(file, "acme", ImportOptions(OLD)).messages)
    messages = [each.message for each in found if isinstance(each, ImportedMessage)]
    await service.client.delete("/v1/admin/tenants/acme")
    assert await run(*TO_SMALL) == 0

    outcomes = await ImportRepository(
        service.database, message_analyzer(service.database, service.settings.search), OLD
    ).insert("acme", messages)

    assert outcomes == [ImportStatus.STORED] * COUNT
    assert (await service.jobs.counts()).pending == COUNT
    await service.embed_all()
    assert await not_embedded(service, 128, SPACE.dimensions) == 0
    await recounted(service)
