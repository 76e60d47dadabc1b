"""The in-memory indexes of a replica. Each is brought up to date for every search."""

import asyncio
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from time import monotonic, perf_counter
from typing import NamedTuple
from uuid import UUID

from deployments.runtime.micro_batcher import MicroBatcher
from deployments.search.index.tenant_index import TenantIndex
from deployments.search.instruments import IndexInstruments
from deployments.storage.search.large_tenants import expected_bytes
from deployments.storage.search.message_changes import (
    Changes,
    MessageChangeRepository,
    MessageRow,
    Position,
    TenantLoad,
)

# If there are more changes than this, and than a fifth of the index, reading all messages again is no slower.
CAUGHT_UP_AT_MOST = 1_000
CAUGHT_UP_SHARE = 5
# Rows applied in one step: 200 rows take 3 ms, and block the event loop for other searches.
APPLIED_AT_ONCE = 200
# How long a tenant counts as too large before its size is checked again.
TOO_LARGE_SECONDS = 60.0

# Tenants per round trip when polling for changes, concurrent round trips, and the maximum queue length.
ASKED_TOGETHER = 64
ASKED_AT_ONCE = 2
ASKING_AT_MOST = 10_000
# A load holds one of the at most eight connections of a replica, and its memory is counted only when it is complete.
LOADS_AT_ONCE = 2
# Bytes counted for a tenant without an index.
BYTES_OF_RESIDENT = 8_192


class Key(NamedTuple):
    """The key of an index: a tenant, and whether archived messages are included."""

    tenant_id: str
    archived: bool


class Limits(NamedTuple):
    """Memory limits: bytes of all indexes of a replica, and messages of one index.

    One index may take at most half of the bytes. Otherwise two large tenants would evict each other on every search.
    """

    total_bytes: int
    messages: int

    def allow(self, messages: int, dimensions: int) -> bool:
        """Return whether a tenant with this many messages may be loaded, estimated before reading it."""
        return messages <= self.messages and self.allow_bytes(messages * expected_bytes(dimensions))

    def allow_bytes(self, nbytes: int) -> bool:
        """Return whether one index may take `nbytes`."""
        return nbytes <= self.total_bytes // 2

    def hold(self, index: TenantIndex) -> bool:
        """Return whether an index may stay in memory."""
        return len(index) <= self.messages and self.allow_bytes(index.nbytes)


class Resident:
    """An in-memory index, and the change position up to which it was read.

    A full reload replaces `index`, so look it up at each use. Hold `applying` while changing the index, and while
    another thread reads it.
    """

    def __init__(self, key: Key) -> None:
        self.key = key
        self.index: TenantIndex | None = None
        self.applying = asyncio.Lock()
        self.position = ""
        self.read_from = 0.0
        self.too_large_until = 0.0
        self.counted_bytes = BYTES_OF_RESIDENT
        self.reading: asyncio.Task[None] | None = None
        self.waiting = 0


class Indexes:
    """An LRU cache of tenant indexes, limited by bytes."""

    def __init__(
        self, changes: MessageChangeRepository, limits: Limits, instruments: IndexInstruments | None = None
    ) -> None:
        self._changes = changes
        self._positions: MicroBatcher[Position, Changes] = MicroBatcher(
            changes.since, max_batch=ASKED_TOGETHER, slots=ASKED_AT_ONCE, max_waiting=ASKING_AT_MOST
        )
        self._limits = limits
        self._instruments = instruments or IndexInstruments()
        self._residents: OrderedDict[Key, Resident] = OrderedDict()
        self._loading = asyncio.Semaphore(LOADS_AT_ONCE)
        self._bytes = 0

    async def fresh(self, tenant_id: str, *, archived: bool) -> Resident | None:
        """Return a tenant's index with everything committed before the call, or None if it is too large for memory.

        Concurrent callers share one read. It is cancelled only when the last waiting caller is cancelled.
        Raises `DatabaseUnavailableError`, `OverloadedError`.
        """
        arrived = monotonic()
        resident = self._resident(Key(tenant_id, archived))
        while resident.read_from < arrived:
            if resident.too_large_until > arrived:
                return None
            if resident.reading is None or resident.reading.done():
                resident.reading = asyncio.create_task(self._read(resident))
            await self._wait_for(resident, resident.reading)
        return None if resident.index is None else resident

    async def _wait_for(self, resident: Resident, reading: asyncio.Task[None]) -> None:
        """Wait for a read. Cancel it if this call is cancelled (a request timeout, say) and no other caller waits."""
        resident.waiting += 1
        try:
            await asyncio.shield(reading)
        except asyncio.CancelledError:
            if resident.waiting == 1 and resident.reading is reading:
                # The next caller must not wait for a cancelled read.
                resident.reading = None
                reading.cancel()
            raise
        finally:
            resident.waiting -= 1

    def _resident(self, key: Key) -> Resident:
        resident = self._residents.get(key)
        if resident is None:
            resident = self._residents[key] = Resident(key)
            self._bytes += resident.counted_bytes
            self._make_room()
        else:
            self._residents.move_to_end(key)
        return resident

    async def _read(self, resident: Resident) -> None:
        began = monotonic()
        if resident.index is None or not await self._catch_up(resident, resident.index):
            await self._load(resident)
        resident.read_from = began
        if resident.index is not None and not self._limits.hold(resident.index):
            # Metadata columns are rebuilt on demand.
            async with resident.applying:
                resident.index.metadata.clear()
        self._count(resident)

    async def _catch_up(self, resident: Resident, index: TenantIndex) -> bool:
        """Apply changes to an index. Return False if the tenant must be reloaded whole."""
        tenant_id, archived = resident.key
        changes = await self._positions.submit(Position(tenant_id, resident.position))
        many = len(changes.ids) > max(CAUGHT_UP_AT_MOST, len(index) // CAUGHT_UP_SHARE)
        if changes.gap or many or changes.space != index.space:
            return False
        if changes.ids:
            rows = await self._changes.read(tenant_id, changes.ids, index.space, include_archived=archived)
            if rows is None:
                return False
            await self._apply(resident, index, changes.ids, rows)
        resident.position = changes.position
        return True

    async def _apply(
        self, resident: Resident, index: TenantIndex, ids: Sequence[UUID], rows: Sequence[MessageRow]
    ) -> None:
        there = {row.id for row in rows}
        async with resident.applying:
            index.remove([each for each in ids if each not in there])
            for some in _split(rows):
                index.put(some)
                await asyncio.sleep(0)

    async def _load(self, resident: Resident) -> None:
        started = perf_counter()
        tenant_id, archived = resident.key
        async with self._loading, self._changes.load(tenant_id, include_archived=archived) as load:
            index = await self._filled(load)
            resident.index, resident.position = index, load.position
        if index is None:
            resident.too_large_until = monotonic() + TOO_LARGE_SECONDS
        self._instruments.loads.labels("too_large" if index is None else "loaded").inc()
        self._instruments.load_seconds.observe(perf_counter() - started)

    async def _filled(self, load: TenantLoad) -> TenantIndex | None:
        """Return an index of the loaded messages, or None if it exceeds the limits."""
        if not self._limits.allow(load.messages, load.space.dimensions):
            return None
        index = TenantIndex(load.space)
        async for rows in load.batches:
            # In a thread, so that searches of other tenants go on.
            await asyncio.to_thread(index.put, rows)
            if not self._limits.hold(index):
                return None
        return index

    def _count(self, resident: Resident) -> None:
        """Update the counted size of an index, and evict others until all fit."""
        if self._residents.get(resident.key) is not resident:
            return
        if resident.index is not None and not self._limits.hold(resident.index):
            resident.index, resident.too_large_until = None, monotonic() + TOO_LARGE_SECONDS
        taken = BYTES_OF_RESIDENT + (0 if resident.index is None else resident.index.nbytes)
        self._bytes += taken - resident.counted_bytes
        resident.counted_bytes = taken
        self._make_room()

    def _make_room(self) -> None:
        while self._bytes > self._limits.total_bytes:
            _, left = self._residents.popitem(last=False)
            self._bytes -= left.counted_bytes
            self._instruments.evictions.inc()
        self._instruments.bytes.set(self._bytes)
        self._instruments.tenants.set(len(self._residents))


def _split(rows: Sequence[MessageRow]) -> Iterator[Sequence[MessageRow]]:
    return (rows[start : start + APPLIED_AT_ONCE] for start in range(0, len(rows), APPLIED_AT_ONCE))
