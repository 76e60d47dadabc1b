"""A re-embedding under load: `python -m loadtests.reembedding --url http://127.0.0.1:8000 -- --provider local ...`.

Stores messages, then searches and stores at a constant rate, first alone and then while `python -m jobs.reembed` runs
with the arguments after `--`. The job needs the service's MEMORY_* settings in this environment. Stored messages stay:
use a throw-away MEMORY_DATA_DIR.
"""

import argparse
import asyncio
import json
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from time import monotonic, time

import orjson
import uvloop

from loadtests import requests
from loadtests.client import SERVICE, Address, Connection, address_of, percentile

_SEED = 0
_BATCH, _FILLERS = 500, 2
_DEGRADED = b'"degraded":true'
_BEFORE, _AFTER = "before", "after"
_PHASES = ("filling", "building the index", "comparing", "switching")


class LoadError(Exception):
    """Nothing can be measured; the message says why."""


@dataclass(frozen=True)
class Figures:
    """The results of one kind of request in one phase; latencies in ms."""

    phase: str
    kind: str
    requests: int
    failed: int
    degraded: int
    p50: float
    p95: float
    longest: float

    def __str__(self) -> str:
        return (
            f"{self.phase:<20} {self.kind:<7} {self.requests:>6} requests, {self.failed} failed, "
            f"{self.degraded} degraded, p50 {self.p50:.1f} ms, p95 {self.p95:.1f} ms, longest {self.longest:.0f} ms"
        )


@dataclass(frozen=True)
class _Answered:
    phase: str
    kind: str
    seconds: float
    failed: bool
    degraded: bool


def main() -> int:
    """Measure and print. Return 2 if nothing could be measured, else the exit status of the job."""
    options = _options()
    load = _Load(options)
    try:
        status = uvloop.run(load.run())
    except LoadError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    figures = list(load.figures())
    print("\n".join(map(str, figures)))
    if options.json is not None:
        found = {"at": time(), "phases": load.seconds, "figures": [asdict(each) for each in figures]}
        options.json.write_text(json.dumps(found, indent=2) + "\n")
    return status


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m loadtests.reembedding", description=__doc__)
    parser.add_argument("--url", type=address_of, default=SERVICE, help=f"of the service ({SERVICE})")
    parser.add_argument(
        "--messages", type=int, default=100_000, help="messages stored first, a fifth of them one tenant's (100000)"
    )
    parser.add_argument("--each", type=int, default=1_000, help="messages of each other tenant (1000)")
    parser.add_argument("--rate", type=float, default=20.0, help="searches a second, and a quarter as many stores (20)")
    parser.add_argument("--seconds", type=float, default=30.0, help="measured before, and after (30)")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--again", metavar="RUN", help="the name of an earlier run, whose messages are used again")
    parser.add_argument("job", nargs="+", help="after --: arguments of `python -m jobs.reembed`")
    return parser.parse_args()


class _Load:
    """One run, with new tenants."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._address: Address = options.url
        run = options.again or f"reembedding-{int(time()):x}"
        others = max((options.messages - options.messages // 5) // options.each, 1)
        self._run = run
        self._large = f"{run}-large"
        self._small = [f"{run}-{number}" for number in range(others)]
        self._answered: list[_Answered] = []
        self._phase = _BEFORE
        self.seconds: defaultdict[str, float] = defaultdict(float)

    async def run(self) -> int:
        """Fill, measure alone, during the job, and afterwards. Return the exit status of the job."""
        if self._options.again is None:
            await self._fill()
        stopping = asyncio.Event()
        tenants = [self._large, *self._small]
        async with asyncio.TaskGroup() as tasks:
            searches = requests.endless_searches(tenants, _SEED)
            stores = requests.endless_stores(self._small, _SEED + 1)
            tasks.create_task(self._ask("search", searches, self._options.rate, stopping))
            tasks.create_task(self._ask("store", stores, self._options.rate / 4, stopping))
            await asyncio.sleep(self._options.seconds)
            status = await self._job()
            self._phase = _AFTER
            await asyncio.sleep(self._options.seconds)
            stopping.set()
        return status

    def figures(self) -> Iterator[Figures]:
        """Yield the results of each phase in order, and of each kind."""
        for phase in dict.fromkeys(each.phase for each in self._answered):
            for kind in ("search", "store"):
                found = [each for each in self._answered if (each.phase, each.kind) == (phase, kind)]
                waited = [each.seconds * 1e3 for each in found]
                yield Figures(
                    phase=phase,
                    kind=kind,
                    requests=len(found),
                    failed=sum(each.failed for each in found),
                    degraded=sum(each.degraded for each in found),
                    p50=percentile(waited, 0.5),
                    p95=percentile(waited, 0.95),
                    longest=max(waited, default=0.0),
                )

    async def _fill(self) -> None:
        large, messages = self._options.messages // 5, self._options.messages
        batches = [
            islice(requests.endless_batches([self._large], _SEED, _BATCH), large // _BATCH),
            islice(requests.endless_batches(self._small, _SEED, _BATCH), (messages - large) // _BATCH),
        ]
        await asyncio.gather(*(self._store_all(each) for each in batches))
        async with _connected(self._address) as connection:
            while await _pending(connection):  # noqa: ASYNC110 - another process's, which sets no event
                await asyncio.sleep(1.0)
        print(f"{self._run}: {messages:,} messages are stored and embedded", flush=True)

    async def _store_all(self, batches: Iterator[bytes]) -> None:
        async with _connected(self._address) as connection:
            for batch in batches:
                answer = await connection.ask(batch)
                if not answer.accepted:
                    raise LoadError(f"a batch was answered with {answer.status}: {answer.body[:200]!r}")

    async def _ask(self, kind: str, asked: Iterator[bytes], rate: float, stopping: asyncio.Event) -> None:
        """Send requests at a constant rate, whatever their latency, each over an idle connection."""
        free: list[Connection] = []
        due = monotonic()
        async with asyncio.TaskGroup() as tasks:
            while not stopping.is_set():
                connection = free.pop() if free else Connection(self._address)
                tasks.create_task(self._time(kind, connection, next(asked), free))
                due += 1 / rate
                await asyncio.sleep(max(0.0, due - monotonic()))
        for connection in free:
            connection.close()

    async def _time(self, kind: str, connection: Connection, request: bytes, free: list[Connection]) -> None:
        phase, sent = self._phase, monotonic()
        answer = await connection.ask(request)
        seconds = monotonic() - sent
        self._answered.append(_Answered(phase, kind, seconds, not answer.accepted, _DEGRADED in answer.body))
        free.append(connection)

    async def _job(self) -> int:
        """Run the job, whose output names its current phase. Return its exit status."""
        command = (sys.executable, "-m", "jobs.reembed", *self._options.job)
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=asyncio.subprocess.STDOUT)
        began, self._phase = monotonic(), "starting"
        if process.stdout is None:
            raise LoadError("the job says nothing")
        async for raw in process.stdout:
            line = raw.decode().rstrip()
            print(f"  {line}", flush=True)
            phase = next((each for each in _PHASES if line.startswith(each) and line.endswith("...")), None)
            if phase is not None:
                self.seconds[self._phase] += monotonic() - began
                began, self._phase = monotonic(), phase
        self.seconds[self._phase] += monotonic() - began
        return await process.wait()


async def _pending(connection: Connection) -> int:
    health = await connection.ask(requests.get("/v1/admin/health"))
    return int(orjson.loads(health.body)["pending_embeddings"] or 0)


@asynccontextmanager
async def _connected(address: Address) -> AsyncIterator[Connection]:
    connection = Connection(address)
    try:
        yield connection
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(main())
