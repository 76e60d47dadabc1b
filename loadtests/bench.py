"""Compares the product with its floor: `python -m loadtests.bench --url http://127.0.0.1:8000`.

Both use the same database and are measured alternately (product, floor, floor, product, ...) with the same requests
from the same client, so that other load on the machine cancels out: compare the ratios, not the numbers. This script
starts and stops the floor (`loadtests.floor`). Returns 1 if a target of the issue is missed.
"""

import argparse
import asyncio
import contextlib
import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, cycle, islice
from pathlib import Path
from time import monotonic, time

import orjson
import uvloop

from loadtests import report, requests
from loadtests.client import SERVICE, Address, Answer, Connection, Turn, address_of, run_turn
from loadtests.environment import use_the_services_database
from loadtests.report import Measurement
from loadtests.texts import TenantTexts

_LOADERS = 4
_BATCH = 100
_COMPARED = 40
_ALIKE_SHARE = 0.9
_START_SECONDS = 60
_STALLED_SECONDS = 15
_REPEATED_QUERIES = 200
_PREPARED_PER_SECOND = 1_500
_PREPARED_BATCHES_PER_SECOND = 60
_MOST_PER_SECOND = 10_000
_HTTP_NOT_FOUND = 404
_KINDS = ("search", "store", "batch")
# The embeddings of one turn of batches take many times as long as the turn.
_BATCH_SECONDS = 2.0
_HOLLOW = (b'"total":0', b'"degraded":true')


class BenchError(Exception):
    """The bench cannot continue; the message says why."""


@dataclass(frozen=True)
class Options:
    """The command-line options."""

    product: Address
    seconds: float
    rounds: int
    tenants: int
    messages: int
    seed: int
    repeat_queries: bool
    keep: bool
    only: tuple[str, ...]
    json: Path | None


def main() -> int:
    """Measure and print. Return 1 if a target is missed or an answer was not 2xx, 2 if nothing was measured."""
    options = _options()
    use_the_services_database()
    # SIGTERM unwinds the stack too: the floor must not outlive the bench.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        with _floor_running() as floor:
            measurements = uvloop.run(_Bench(options, floor).run())
    except BenchError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    bars = report.bars(measurements)
    print(report.table(measurements), report.verdict(bars), sep="\n\n")
    if options.json is not None:
        options.json.write_text(json.dumps({"at": time(), **report.as_json(measurements, bars)}, indent=2) + "\n")
    return 0 if all(bar.reached for bar in bars) and not report.refusals(measurements) else 1


def _options() -> Options:
    parser = argparse.ArgumentParser(prog="python -m loadtests.bench", description=__doc__)
    parser.add_argument("--url", type=address_of, default=SERVICE, help=f"the product ({SERVICE})")
    parser.add_argument("--seconds", type=float, default=5.0, help="length of each turn (5)")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each side for each measurement (3)")
    parser.add_argument("--tenants", type=int, default=50, help="how many tenants (50)")
    parser.add_argument("--messages", type=int, default=200, help="messages of each tenant (200)")
    parser.add_argument("--seed", type=int, default=0, help="of the texts (0)")
    parser.add_argument("--repeat-queries", action="store_true", help="a few queries over and over: cached ones")
    parser.add_argument("--only", nargs="+", choices=_KINDS, default=_KINDS, help="kinds of load (all)")
    parser.add_argument("--keep", action="store_true", help="leave the bench's messages in the database")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    given = parser.parse_args()
    return Options(
        product=given.url,
        seconds=given.seconds,
        rounds=given.rounds,
        tenants=given.tenants,
        messages=given.messages,
        seed=given.seed,
        repeat_queries=given.repeat_queries,
        keep=given.keep,
        only=tuple(given.only),
        json=given.json,
    )


@contextlib.contextmanager
def _floor_running() -> Iterator[Address]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = Address("127.0.0.1", probe.getsockname()[1])
    arguments = [sys.executable, "-m", "loadtests.floor", "--port", str(address.port)]
    process = subprocess.Popen(arguments)  # noqa: S603 - our own module
    try:
        yield address
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()


class _Bench:
    """One run with its own tenants, loaded through the product; searches and stores go to both sides."""

    def __init__(self, options: Options, floor: Address) -> None:
        self._options = options
        self._floor = floor
        run = f"bench-{int(time()):x}"
        self._searched = [f"{run}-{number}" for number in range(options.tenants)]
        self._stored = [f"{run}-store-{number}" for number in range(options.tenants)]
        self._searches = requests.endless_searches(self._searched, options.seed)
        self._stores = requests.endless_stores(self._stored, options.seed + 1)
        self._batches = requests.endless_batches(self._stored, options.seed + 2, _BATCH)

    async def run(self) -> list[Measurement]:
        await _until_answered(self._options.product, "the product")
        await _until_answered(self._floor, "the floor")
        try:
            await self._load()
            await self._compare()
            measurements = self._measurements()
            for measurement in measurements:
                await self._measure(measurement)
        finally:
            if not self._options.keep:
                await self._clean_up()
        return measurements

    async def _load(self) -> None:
        options, started = self._options, monotonic()
        loads = chain.from_iterable(
            requests.batches(tenant, TenantTexts(number, options.seed), options.messages, _BATCH)
            for number, tenant in enumerate(self._searched)
        )
        await _send_all(options.product, loads)
        stored = monotonic() - started
        await self._until_embedded(required=True)
        _say(
            f"{options.tenants * options.messages:,} messages of {options.tenants} tenants stored in {stored:.1f} s, "
            f"embedded {monotonic() - started - stored:.1f} s later"
        )

    async def _compare(self) -> None:
        """Check that the floor does the same work: the same hits for the same queries."""
        asked = list(islice(self._searches, _COMPARED))
        product, floor = [await _hits(side, asked) for side in (self._options.product, self._floor)]
        alike = sum(a == b for a, b in zip(product, floor, strict=True))
        _say(f"product and floor give the same hits in the same order to {alike} of {_COMPARED} queries")
        if not any(floor):
            raise BenchError("the floor finds nothing: are MEMORY_DATABASE_URL and MEMORY_DATA_DIR the product's?")
        if alike < _ALIKE_SHARE * _COMPARED:
            _say("WARNING: loadtests/floor.py does other work than the product's search: the ratios mislead")

    def _measurements(self) -> list[Measurement]:
        everything = [
            *(Measurement("search", callers, self._next_searches) for callers in (1, 16, 100)),
            Measurement("store", 16, lambda: self._prepared(self._stores, "store", _PREPARED_PER_SECOND)),
            Measurement(
                "batch", 4, lambda: self._prepared(self._batches, "batch", _PREPARED_BATCHES_PER_SECOND), _BATCH
            ),
        ]
        return [each for each in everything if each.kind in self._options.only]

    def _next_searches(self) -> Iterator[bytes]:
        if self._options.repeat_queries:
            return cycle(list(islice(self._searches, _REPEATED_QUERIES)))
        return self._prepared(self._searches, "search", _PREPARED_PER_SECOND)

    def _prepared(self, source: Iterator[bytes], kind: str, per_second: int) -> Iterator[bytes]:
        """Yield requests, most of them built before the clock starts; their number is limited."""
        seconds = self._seconds(kind) + 1
        prepared = list(islice(source, int(per_second * seconds)))
        return islice(chain(prepared, source), int(_MOST_PER_SECOND * seconds))

    async def _measure(self, measurement: Measurement) -> None:
        for number in range(self._options.rounds):
            sides = [(self._options.product, measurement.product), (self._floor, measurement.floor)]
            for address, turns in sides if number % 2 == 0 else reversed(sides):
                turns.append(await self._turn(measurement, address))
                if measurement.kind != "search":
                    await self._until_embedded(required=False)
            _say(f"{measurement.title}, round {number + 1}: ratio {measurement.ratios[-1]:.2f}")

    async def _turn(self, measurement: Measurement, address: Address) -> Turn:
        return await run_turn(
            address,
            measurement.requests(),
            callers=measurement.callers,
            seconds=self._seconds(measurement.kind),
            mark=_HOLLOW,
        )

    def _seconds(self, kind: str) -> float:
        return min(self._options.seconds, _BATCH_SECONDS) if kind == "batch" else self._options.seconds

    async def _until_embedded(self, *, required: bool) -> None:
        """Wait for the embeddings of the last turn, so that they do not slow the next one."""
        connection = Connection(self._options.product)
        least, progressed = sys.maxsize, monotonic()
        while pending := _pending(await connection.ask(requests.get("/v1/admin/health"))):
            if pending < least:
                least, progressed = pending, monotonic()
            elif monotonic() - progressed > _STALLED_SECONDS:
                complaint = f"{pending} messages wait for their embedding and nothing moves"
                if required:
                    raise BenchError(complaint)
                _say(f"WARNING: {complaint}")
                break
            await asyncio.sleep(0.1)
        connection.close()

    async def _clean_up(self) -> None:
        """Delete the tenants' data through the API, unless a floor stands in for the product."""
        connection = Connection(self._options.product)
        for tenant in (*self._searched, *self._stored):
            answer = await connection.ask(requests.get("/v1/conversations", tenant_id=tenant, limit=200))
            if answer.status == _HTTP_NOT_FOUND:
                _say(f"{tenant} and the run's other tenants stay: there is no call to delete them")
                break
            for item in orjson.loads(answer.body)["items"] if answer.accepted else ():
                conversation = item["conversation_id"]
                await connection.ask(requests.delete(f"/v1/conversations/{conversation}", tenant_id=tenant))
        connection.close()


async def _until_answered(address: Address, name: str) -> None:
    connection, deadline = Connection(address), monotonic() + _START_SECONDS
    while not (answer := await connection.ask(requests.get("/v1/admin/health"))).accepted:
        if monotonic() > deadline:
            raise BenchError(f"{name} at {address.host}:{address.port} does not answer (status {answer.status})")
        await asyncio.sleep(0.2)
    connection.close()


async def _send_all(address: Address, everything: Iterable[bytes]) -> None:
    remaining = iter(everything)

    async def send() -> None:
        connection = Connection(address)
        for request in remaining:
            answer = await connection.ask(request)
            if not answer.accepted:
                raise BenchError(f"the product refused a batch with {answer.status}: {answer.body[:300]!r}")
        connection.close()

    await asyncio.gather(*(send() for _ in range(_LOADERS)))


async def _hits(address: Address, asked: Sequence[bytes]) -> list[list[str]]:
    connection = Connection(address)
    answers = [await connection.ask(request) for request in asked]
    connection.close()
    return [[item["message_id"] for item in orjson.loads(answer.body)["items"]] for answer in answers]


def _pending(answer: Answer) -> int:
    """Return the number of pending messages, or 1 if the answer does not contain it."""
    if not answer.accepted:
        return 1
    pending = orjson.loads(answer.body)["pending_embeddings"]
    return 1 if pending is None else int(pending)


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
