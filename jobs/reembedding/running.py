"""Runs a re-embedding step by step. Each step reads the state first, so any run continues an interrupted one."""

import asyncio
import math
import random
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from deployments.embedding.providers.protocol import EmbeddingProvider
from deployments.embedding.providers.registry import create_provider
from deployments.embedding.retry import retry_delay
from deployments.embedding_space import settings_for, space_source
from deployments.errors import DatabaseUnavailableError, EmbeddingUnavailableError
from deployments.schemas.vectors import SpaceSource
from deployments.settings import Settings
from deployments.storage.embeddings.reembedding import (
    INDEX_BYTES_BESIDE_VECTOR,
    Hole,
    Outcome,
    ReembeddingRepository,
    reembedding,
)
from deployments.storage.embeddings.spaces import OtherState, Spaces
from deployments.storage.postgres.database import Database
from jobs.progress import Progress
from jobs.reembedding.comparing import compare
from jobs.reembedding.decisions import Step, bytes_needed, first_step, named, way_back
from jobs.reembedding.errors import ReembeddingError
from jobs.reembedding.filling import Filler, ProgressDeadline

# A killed run holds its lock until Postgres notices the lost connection.
TURN_ATTEMPTS, TURN_SECONDS = 10, 0.5
# After this time every replica has read the new space, has tested it, and has reported if it cannot use it.
KNOWN_SECONDS = 6.0
SWITCH_PAUSE_SECONDS = 0.5
PERCENT = 100

T = TypeVar("T")


@dataclass(frozen=True)
class Options:
    """`target` None: return to the previous space. `least_overlap`: percent; below it the run does not switch.

    `accept_missing`: how many messages may stay without a vector because the new provider rejects them. `rate`:
    messages filled a second. `deadline_seconds`: maximum time without progress due to provider, database or locks.
    """

    target: SpaceSource | None
    switch: bool = True
    sample: int = 200
    least_overlap: float = 0.0
    accept_missing: int = 0
    batch: int = 256
    rate: float = math.inf
    deadline_seconds: float = 600.0
    force: bool = False


@dataclass(frozen=True)
class Run:
    """One re-embedding. `say` prints a line about what has happened."""

    settings: Settings
    database: Database
    options: Options
    progress: Progress
    say: Callable[[str], None]

    async def reembed(self) -> None:
        """Fill, index, compare, switch. Raises `ReembeddingError`, and the last error when the deadline has passed."""
        deadline = ProgressDeadline(self.options.deadline_seconds)
        # Read it once: if a switch was committed but its answer lost, reading it again would return to the old space.
        target = self.options.target
        if target is None:
            target = await self._until_deadline(self._previous, deadline)
        await self._until_deadline(partial(self._reembed, target, deadline), deadline)

    async def drop(self) -> None:
        """Drop the space that is not active."""
        deadline = ProgressDeadline(self.options.deadline_seconds)
        async with self._exclusively() as repository:
            spaces = await repository.spaces()
            if spaces.other is None:
                self.say("There is no second space")
                return
            await self._when_free(repository.drop, deadline)
        self.say(f"{named(spaces.other)} is dropped; {named(spaces.active)} is active")

    async def status(self) -> None:
        """Print the existing spaces."""
        async with reembedding(self.database) as repository:
            spaces, count = await repository.spaces(), await repository.count()
            trouble, _ = await repository.trouble()
        self.say(f"active: {named(spaces.active)}, {count.embedded:,} messages")
        if spaces.other is not None:
            self.say(f"{spaces.other_state}: {named(spaces.other)}, {count.filled:,} messages")
        if trouble is not None:
            self.say(f"a replica cannot use it: {trouble}")

    async def _previous(self) -> SpaceSource:
        async with self._exclusively() as repository:
            return way_back(await repository.spaces())

    async def _reembed(self, target: SpaceSource, deadline: ProgressDeadline) -> None:
        async with self._exclusively() as repository:
            spaces = await repository.spaces()
            step = first_step(spaces, target)
            if step is Step.DONE:
                self.say(f"{named(target)} is active already")
                return
            # Test the provider first: if it cannot embed one text, it cannot embed all.
            async with _provider(self.settings, target) as provider:
                await provider.embed_queries(["ping"])
                if step is Step.BEGIN:
                    await self._begin(repository, spaces.active, target)
                await self._fill_and_switch(repository, provider, target, deadline)

    async def _begin(self, repository: ReembeddingRepository, active: SpaceSource, target: SpaceSource) -> None:
        await self._check_room(repository, target)
        own = space_source(self.settings)
        # The settings change after the switch, and going back needs the previous base URL.
        await repository.begin(target, own.base_url if own.space == active.space else None)

    async def _fill_and_switch(
        self,
        repository: ReembeddingRepository,
        provider: EmbeddingProvider,
        target: SpaceSource,
        deadline: ProgressDeadline,
    ) -> None:
        filler = Filler(repository, provider, target.space, deadline, self.options.batch, self.options.rate)
        refused = await self._fill(repository, filler)
        if not await repository.has_index():
            vectors = (await repository.count()).filled
            with self.progress.step("building the index", vectors) as advance:
                await repository.make_index(target.space.dimensions, vectors)
                advance(vectors)
            deadline.moved()
        await self._when_free(repository.analyze, deadline)
        spaces = await repository.spaces()
        if spaces.other_state is OtherState.NEXT and self.options.sample:
            await self._compare(repository, spaces, provider)
        if not self.options.switch:
            self.say(f"{named(target)} is filled and not switched to: run it again without --no-switch")
            return
        await self._switch(repository, filler, refused, spaces)
        way = "--back returns to it" if spaces.other_state is OtherState.NEXT else "its --provider leads there again"
        self.say(f"{named(target)} is active; {named(spaces.active)} is kept: {way}, --drop drops it")

    async def _fill(self, repository: ReembeddingRepository, filler: Filler) -> list[Hole]:
        with self.progress.step("filling", (await repository.count()).holes) as advance:
            refused = await filler.fill(advance)
        if len(refused) > self.options.accept_missing:
            raise ReembeddingError(
                f"The provider refuses {len(refused)} messages, {refused[0].message_id} for one: change or delete "
                f"them, or let them be found by words alone with --accept-missing {len(refused)}"
            )
        return refused

    async def _compare(self, repository: ReembeddingRepository, spaces: Spaces, provider: EmbeddingProvider) -> None:
        async with _provider(self.settings, spaces.active) as active:
            with self.progress.step("comparing", self.options.sample) as advance:
                result = await compare(repository, active, provider, self.options.sample, advance)
        if result.overlap is None:
            self.say("no tenant has enough messages to compare the spaces by")
            return
        overlap = result.overlap * PERCENT
        self.say(f"overlap@10: {overlap:.1f} % over {result.messages} messages")
        if overlap < self.options.least_overlap:
            raise ReembeddingError(f"The overlap is below {self.options.least_overlap:g} %: not switched")

    async def _switch(
        self, repository: ReembeddingRepository, filler: Filler, refused: list[Hole], spaces: Spaces
    ) -> None:
        if spaces.other_state is OtherState.NEXT:
            await self._check_replicas(repository)
        # Show no progress lines: this takes a moment, or waits for table locks.
        self.say("switching ...")
        while await self._when_free(partial(repository.switch, refused), filler.deadline) is Outcome.HOLES:
            refused = await self._fill(repository, filler)

    async def _check_replicas(self, repository: ReembeddingRepository) -> None:
        _, seconds = await repository.trouble()
        await asyncio.sleep(max(0.0, KNOWN_SECONDS - seconds))
        trouble, _ = await repository.trouble()
        if trouble is not None and not self.options.force:
            raise ReembeddingError(f"A replica of the service cannot use the new space: {trouble}")

    async def _when_free(self, attempt: Callable[[], Awaitable[Outcome]], deadline: ProgressDeadline) -> Outcome:
        while (outcome := await attempt()) is Outcome.BUSY:
            if deadline.is_over:
                raise ReembeddingError("Others hold the tables for too long: run it again to go on")
            await asyncio.sleep(SWITCH_PAUSE_SECONDS * (0.5 + random.random()))  # noqa: S311 - spreads attempts # nosec B311
        deadline.moved()
        return outcome

    async def _check_room(self, repository: ReembeddingRepository, target: SpaceSource) -> None:
        """Check the free disk space, which is known for the embedded Postgres only."""
        count = await repository.count()
        needed = bytes_needed(
            await repository.table_bytes(), count.embedded, target.space.dimensions, INDEX_BYTES_BESIDE_VECTOR
        )
        self.say(f"{count.embedded:,} messages to embed; it may take {needed / 2**20:,.0f} MB of the disk")
        if self.settings.database.url is None and not self.options.force:
            free = shutil.disk_usage(self.settings.runtime.data_dir).free
            if free < needed:
                raise ReembeddingError(f"Only {free / 2**20:,.0f} MB are free there: make room, or use --force")

    @asynccontextmanager
    async def _exclusively(self) -> AsyncIterator[ReembeddingRepository]:
        async with reembedding(self.database) as repository:
            for _ in range(TURN_ATTEMPTS):
                if await repository.become_the_only_one():
                    break
                await asyncio.sleep(TURN_SECONDS)
            else:
                raise ReembeddingError("Another re-embedding runs on this database")
            yield repository

    async def _until_deadline(self, work: Callable[[], Awaitable[T]], deadline: ProgressDeadline) -> T:
        attempts = 0
        while True:
            try:
                return await work()
            except (DatabaseUnavailableError, EmbeddingUnavailableError) as error:
                if deadline.is_over:
                    raise
                attempts += 1
                limits = self.settings.embedding
                delay = retry_delay(
                    attempts, limits.retry_base_seconds, min(limits.retry_max_seconds, 30.0), 0.0, error.retry_after
                )
                self.say(f"waiting: {error.message}")
                await asyncio.sleep(delay)


@asynccontextmanager
async def _provider(settings: Settings, source: SpaceSource) -> AsyncIterator[EmbeddingProvider]:
    provider = create_provider(settings_for(settings, source))
    try:
        yield provider
    finally:
        await provider.close()
