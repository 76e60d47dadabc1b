"""Measures how one tenant's flood delays another: `python -m loadtests.flood --url http://127.0.0.1:8000`.

A second tenant stores a message now and then, first alone and then while the first stores 100,000. Each is timed from
its POST until its embedding is searchable. Stored messages stay: use a throw-away MEMORY_DATA_DIR.
"""

import argparse
import asyncio
import json
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from time import monotonic, time

import orjson
import uvloop

from loadtests import requests
from loadtests.client import SERVICE, Address, Connection, address_of, percentile

_FLOODERS = 4
_BATCH = 500
_FLOOD_SEED, _STEADY_SEED = 0, 1
_DRAINED = 1_000
_POLL_SECONDS = 0.02
# Poll ever less often: a message that has waited for a minute must not load the service more than a new one.
_POLL_SHARE = 0.1


class FloodError(Exception):
    """Nothing can be measured; the message says why."""


@dataclass(frozen=True)
class Options:
    """The command-line options."""

    address: Address
    messages: int
    seconds: float
    idle: int
    every: float
    json: Path | None


@dataclass(frozen=True)
class Waits:
    """Seconds for which the second tenant's messages waited for their embedding, and the number of late ones.

    A late one had no embedding when the run ended.
    """

    messages: int
    late: int
    p50: float
    p95: float
    longest: float

    @classmethod
    def of(cls, seconds: Sequence[float | None], limit: float) -> "Waits":
        """Return the statistics. None stands for a message without an embedding in time, and counts as `limit`."""
        known = sorted(limit if each is None else each for each in seconds)
        late = sum(each is None for each in seconds)
        return cls(len(known), late, percentile(known, 0.5), percentile(known, 0.95), max(known, default=0.0))

    def __str__(self) -> str:
        return (
            f"p50 {self.p50:.2f} s, p95 {self.p95:.2f} s, longest {self.longest:.2f} s "
            f"of {self.messages} messages, {self.late} not embedded in time"
        )


def main() -> int:
    """Measure and print. Return 2 if nothing could be measured."""
    options = _options()
    try:
        idle, flooded = uvloop.run(_Flood(options).run())
    except FloodError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"idle:    {idle}\nflooded: {flooded}")
    if options.json is not None:
        figures = {"at": time(), "idle": asdict(idle), "flooded": asdict(flooded)}
        options.json.write_text(json.dumps(figures, indent=2) + "\n")
    return 0


def _options() -> Options:
    parser = argparse.ArgumentParser(prog="python -m loadtests.flood", description=__doc__)
    parser.add_argument("--url", type=address_of, default=SERVICE, help=f"on this machine ({SERVICE})")
    parser.add_argument("--messages", type=int, default=100_000, help="of the flood (100000, at most 1000000)")
    parser.add_argument("--seconds", type=float, default=180.0, help="the flood ends after these at the latest (180)")
    parser.add_argument("--idle", type=int, default=40, help="messages of the second tenant before the flood (40)")
    parser.add_argument("--every", type=float, default=0.5, help="seconds between messages of the second tenant (0.5)")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    given = parser.parse_args()
    return Options(
        given.url,
        min(given.messages, 1_000_000),
        given.seconds,
        given.idle,
        given.every,
        given.json,
    )


class _Flood:
    """One run, with two new tenants."""

    def __init__(self, options: Options) -> None:
        self._options = options
        run = f"flood-{int(time()):x}"
        self._steady = requests.endless_stores([f"{run}-steady"], _STEADY_SEED)
        batches = -(-options.messages // _BATCH)
        self._flood = islice(requests.endless_batches([f"{run}-flood"], _FLOOD_SEED, _BATCH), batches)

    async def run(self) -> tuple[Waits, Waits]:
        """Return the second tenant's waits, alone and during the flood."""
        # Warm up: the first searches and embeddings after a start are slow for other reasons.
        await self._waits(islice(self._ticks(monotonic() + self._options.seconds), 5))
        idle = await self._waits(islice(self._ticks(monotonic() + self._options.seconds), self._options.idle))
        deadline = monotonic() + self._options.seconds
        flooding = asyncio.create_task(self._flood_and_drain(deadline))
        flooded = await self._waits(_until_done(self._ticks(deadline), flooding))
        await flooding
        return idle, flooded

    def _ticks(self, deadline: float) -> Iterator[float]:
        """Yield the times at which the second tenant's messages are due."""
        at = monotonic()
        while at < deadline:
            yield at
            at += self._options.every

    async def _waits(self, ticks: Iterator[float]) -> Waits:
        limit = self._options.seconds
        async with asyncio.TaskGroup() as tasks:
            probes = []
            for at in ticks:
                await asyncio.sleep(max(0.0, at - monotonic()))
                probes.append(tasks.create_task(self._until_embedded(next(self._steady), limit)))
        return Waits.of([probe.result() for probe in probes], limit)

    async def _until_embedded(self, store: bytes, limit: float) -> float | None:
        """Return the seconds from a message's POST until its embedding is searchable, or None at the limit."""
        async with _connected(self._options.address) as connection:
            started = monotonic()
            answer = await connection.ask(store)
            if not answer.accepted:
                raise FloodError(f"a store was answered with {answer.status}: {answer.body[:200]!r}")
            path = f"/v1/messages/{orjson.loads(answer.body)['id']}"
            while (waited := monotonic() - started) < limit:
                answer = await connection.ask(requests.get(path))
                if answer.accepted and orjson.loads(answer.body)["embedding_status"] == "completed":
                    return monotonic() - started
                await asyncio.sleep(max(_POLL_SECONDS, waited * _POLL_SHARE))
        return None

    async def _flood_and_drain(self, deadline: float) -> None:
        started = monotonic()
        await asyncio.gather(*(self._send(deadline) for _ in range(_FLOODERS)))
        print(f"flood stored in {monotonic() - started:.1f} s", flush=True)
        async with _connected(self._options.address) as connection:
            while monotonic() < deadline:
                answer = await connection.ask(requests.get("/v1/admin/health"))
                if answer.accepted and (orjson.loads(answer.body)["pending_embeddings"] or 0) < _DRAINED:
                    break
                await asyncio.sleep(0.5)
        print(f"flood embedded, or out of time, after {monotonic() - started:.1f} s", flush=True)

    async def _send(self, deadline: float) -> None:
        async with _connected(self._options.address) as connection:
            for batch in self._flood:
                if monotonic() > deadline:
                    break
                answer = await connection.ask(batch)
                if not answer.accepted:
                    raise FloodError(f"a batch was answered with {answer.status}: {answer.body[:200]!r}")


@asynccontextmanager
async def _connected(address: Address) -> AsyncIterator[Connection]:
    connection = Connection(address)
    try:
        yield connection
    finally:
        connection.close()


def _until_done(ticks: Iterator[float], task: asyncio.Task[None]) -> Iterator[float]:
    for at in ticks:
        if task.done():
            break
        yield at


if __name__ == "__main__":
    sys.exit(main())
