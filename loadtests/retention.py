"""Measures how a retention run slows searches: `python -m loadtests.retention --url http://127.0.0.1:8000`.

Fills the service's database with a million messages of ten tenants, unless it has them, and searches them at rest, then
during a run that archives and deletes some of them, then at rest again. Stored messages stay: use a throw-away
MEMORY_DATA_DIR.
"""

import argparse
import asyncio
import random
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from time import monotonic, perf_counter

import orjson
import uvloop

from deployments.settings import Settings
from deployments.storage.postgres.database import Database, PoolSize
from deployments.storage.postgres.schema import database_url
from loadtests import requests
from loadtests.client import SERVICE, Address, Connection, address_of, percentile
from loadtests.environment import use_the_services_database
from loadtests.retention_memory import TENANTS, WORDS, fill

WORDS_IN_A_QUERY = 3
POLL_SECONDS = 1.0
RUNS = "/v1/admin/retention"


@dataclass
class Latencies:
    """The latencies of the searches of one phase, in seconds."""

    seconds: list[float] = field(default_factory=list)
    failed: int = 0

    def __str__(self) -> str:
        ordered = sorted(self.seconds)
        p50, p95, p99 = (1e3 * percentile(ordered, share) for share in (0.5, 0.95, 0.99))
        return f"p50 {p50:.1f} ms, p95 {p95:.1f} ms, p99 {p99:.1f} ms of {len(ordered)} searches, {self.failed} failed"


@dataclass(frozen=True)
class Options:
    """The command-line options."""

    address: Address
    messages: int
    seconds: float
    most_seconds: float
    callers: int
    gap: float


class Measurement:
    """Searches from a few callers, each with a pause between its searches, and one concurrent retention run."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._random = random.Random(0)

    async def run(self) -> None:
        """Measure and print."""
        await self._during(self._rest(10))
        print(f"at rest:    {await self._during(self._rest(self._options.seconds))}", flush=True)
        began = monotonic()
        during = await self._during(self._retention)
        print(f"during it:  {during}, in {monotonic() - began:.0f} s", flush=True)
        print(f"at rest:    {await self._during(self._rest(self._options.seconds))}", flush=True)

    def _rest(self, seconds: float) -> Callable[[], Awaitable[None]]:
        return lambda: asyncio.sleep(seconds)

    async def _retention(self) -> None:
        """Wait for the end of the run, or for the deadline: then the run continues unmeasured."""
        connection = Connection(self._options.address)
        body = {"actions": ["archive", "delete"], "dry_run": False, "wait_seconds": 0}
        run = orjson.loads((await connection.ask(requests.post(f"{RUNS}/run", body))).body)
        deadline = monotonic() + self._options.most_seconds
        phase, since = "", monotonic()
        while run["status"] == "running" and monotonic() < deadline:
            await asyncio.sleep(POLL_SECONDS)
            run = orjson.loads((await connection.ask(requests.get(f"{RUNS}/runs/{run['run_id']}"))).body)
            if run["phase"] != phase:
                print(f"  {phase or 'starting'} took {monotonic() - since:.0f} s", flush=True)
                phase, since = run["phase"], monotonic()
        counts = {name: run[name] for name in ("status", "phase", "archived", "deleted", "skipped")}
        print(f"  {counts} after {monotonic() - since:.0f} s of the last phase", flush=True)
        connection.close()

    async def _during(self, work: Callable[[], Awaitable[None]]) -> Latencies:
        latencies, over = Latencies(), asyncio.Event()
        callers = [asyncio.create_task(self._search(latencies, over)) for _ in range(self._options.callers)]
        await work()
        over.set()
        await asyncio.gather(*callers)
        return latencies

    async def _search(self, latencies: Latencies, over: asyncio.Event) -> None:
        connection = Connection(self._options.address)
        while not over.is_set():
            words = " ".join(f"word{self._random.randrange(WORDS)}" for _ in range(WORDS_IN_A_QUERY))
            tenant = f"retained-{self._random.randrange(TENANTS)}"
            request = requests.get("/v1/memory/search", tenant_id=tenant, query=words, top_k=10)
            began = perf_counter()
            answer = await connection.ask(request)
            latencies.seconds.append(perf_counter() - began)
            latencies.failed += not answer.accepted
            await asyncio.sleep(self._options.gap)
        connection.close()


def main(arguments: Sequence[str] | None = None) -> int:
    """Fill, measure and print. Return 0."""
    options = _options(arguments)
    use_the_services_database()
    asyncio.run(_fill_once(options.messages))
    uvloop.run(Measurement(options).run())
    return 0


async def _fill_once(messages: int) -> None:
    settings = Settings.load()
    connection = await Database(database_url(settings), settings.database, PoolSize(0, 1)).connect()
    try:
        if not await connection.fetchval("SELECT EXISTS (SELECT FROM tenant_usage WHERE tenant_id LIKE 'retained-%')"):
            await fill(connection, messages)
    finally:
        await connection.close()


def _options(arguments: Sequence[str] | None) -> Options:
    parser = argparse.ArgumentParser(prog="python -m loadtests.retention", description=__doc__)
    parser.add_argument("--url", type=address_of, default=SERVICE, help=f"on this machine ({SERVICE})")
    parser.add_argument(
        "--messages", type=int, default=1_000_000, help="messages that fill an empty database (1000000)"
    )
    parser.add_argument(
        "--seconds", type=float, default=60.0, help="seconds of searches at rest, before and after (60)"
    )
    parser.add_argument(
        "--most-seconds", type=float, default=3600.0, help="seconds of searches during the run, at most (3600)"
    )
    parser.add_argument("--callers", type=int, default=2, help="concurrent callers (2)")
    parser.add_argument("--gap", type=float, default=0.1, help="seconds between a caller's searches (0.1)")
    given = parser.parse_args(arguments)
    return Options(given.url, given.messages, given.seconds, given.most_seconds, given.callers, given.gap)


if __name__ == "__main__":
    sys.exit(main())
