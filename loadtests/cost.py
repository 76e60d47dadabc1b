"""Measures the cost of a feature per request:
`python -m loadtests.cost --off http://127.0.0.1:8000 --on http://127.0.0.1:8001`.

It compares two services on one machine, without rate limits, one with tracing (or metrics, or keys ...) and one
without. Every caller alternates between them, request by request, so that other load on the machine cancels out:
compare the ratio, not the numbers. The processor time is the sum over all replicas, read from `/metrics` if both
services have it: on a busy machine it says more than latencies. Each service gets its own tenant, which is erased at
the end.
"""

import argparse
import asyncio
import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import cycle, islice
from statistics import median
from time import perf_counter, time

import uvloop

from loadtests import requests
from loadtests.client import Address, Connection, address_of, percentile
from loadtests.texts import TenantTexts, distinct_queries

_MESSAGES = 200
_BATCH = 100
_QUERIES = 4_000
_WARM_UP_SECONDS = 2.0
_REQUEST_FAILED = 300
# The maximum age of /metrics, and a bit more.
_METRICS_AGE_SECONDS = 5.0
_CPU = b"replica_cpu_seconds_total{"


@dataclass
class _Side:
    """A service, and the latencies of its answers in the rounds so far, in seconds."""

    address: Address
    rounds: list[list[float]] = field(default_factory=list)
    refused: int = 0
    cpu_seconds: float = 0.0
    cpu_total: float = 0.0

    async def ask(self, connection: Connection, request: bytes) -> None:
        sent = perf_counter()
        answer = await connection.ask(request)
        self.rounds[-1].append(perf_counter() - sent)
        self.refused += answer.status >= _REQUEST_FAILED


def main() -> int:
    """Measure and print. Return 1 if an answer was not 2xx."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.cost", description=__doc__)
    parser.add_argument("--off", type=address_of, required=True, help="the service without it")
    parser.add_argument("--on", type=address_of, required=True, help="the service with it")
    parser.add_argument("--seconds", type=float, default=4.0, help="length of each round (4)")
    parser.add_argument("--rounds", type=int, default=8, help="rounds of each measurement (8)")
    parser.add_argument("--callers", type=int, nargs="+", default=[1, 16], help="numbers of concurrent callers (1 16)")
    return uvloop.run(_measure(parser.parse_args()))


async def _measure(given: argparse.Namespace) -> int:
    addresses = [given.off, given.on]
    tenant = f"cost-{int(time()):x}"
    refused = 0
    try:
        for address in addresses:
            await _send(address, requests.batches(tenant, TenantTexts(0, 0), _MESSAGES, _BATCH))
        for kind in ("search", "store"):
            for callers in given.callers:
                off, on = _Side(addresses[0]), _Side(addresses[1])
                await _round(off, on, _requests(kind, tenant, -1), callers, _WARM_UP_SECONDS)
                off.rounds.clear()
                on.rounds.clear()
                await _take_cpu(off, on)
                for number in range(given.rounds):
                    await _round(off, on, _requests(kind, tenant, number), callers, given.seconds)
                await _take_cpu(off, on)
                _print_result(f"{kind}, {callers} at once", off, on)
                refused += off.refused + on.refused
    finally:
        for address in addresses:
            await _send(address, iter([requests.delete(f"/v1/admin/tenants/{tenant}")]))
    return int(refused > 0)


async def _round(off: _Side, on: _Side, asked: Iterator[bytes], callers: int, seconds: float) -> None:
    end = perf_counter() + seconds
    for side in (off, on):
        side.rounds.append([])

    async def call() -> None:
        pair = [(side, Connection(side.address)) for side in (off, on)]
        while perf_counter() < end:
            request = next(asked)
            for side, connection in random.sample(pair, 2):
                await side.ask(connection, request)
        for _, connection in pair:
            connection.close()

    await asyncio.gather(*(call() for _ in range(callers)))


async def _take_cpu(*sides: _Side) -> None:
    """Store the processor time that the replicas used since the last call, once `/metrics` includes it."""
    await asyncio.sleep(_METRICS_AGE_SECONDS)
    for side in sides:
        connection = Connection(side.address)
        lines = (await connection.ask(requests.get("/metrics"))).body.splitlines()
        connection.close()
        total = sum(float(line.split()[-1]) for line in lines if line.startswith(_CPU))
        side.cpu_seconds, side.cpu_total = total - side.cpu_total, total


def _print_result(title: str, off: _Side, on: _Side) -> None:
    medians = [[percentile(each, 0.5) * 1e3 for each in side.rounds] for side in (off, on)]
    ratios = [b / a for a, b in zip(*medians, strict=True)]
    asked = sum(map(len, on.rounds))
    used = [side.cpu_seconds / asked * 1e3 for side in (off, on)]
    print(
        f"{title}: p50 {median(medians[0]):.2f} ms off, {median(medians[1]):.2f} ms on; ratio {median(ratios):.3f} "
        f"({min(ratios):.3f} to {max(ratios):.3f} over {len(ratios)} rounds, {asked} requests of each)",
        flush=True,
    )
    if all(used):
        print(
            f"    processor time of a request {used[0]:.2f} ms off, {used[1]:.2f} ms on, ratio {used[1] / used[0]:.3f}",
            flush=True,
        )


def _requests(kind: str, tenant: str, seed: int) -> Iterator[bytes]:
    if kind == "store":
        return requests.endless_stores([tenant], seed)
    queries = (query for _, query in islice(distinct_queries(1, seed), _QUERIES))
    return cycle([requests.get("/v1/memory/search", tenant_id=tenant, query=query, top_k=10) for query in queries])


async def _send(address: Address, asked: Iterator[bytes]) -> None:
    connection = Connection(address)
    for request in asked:
        answer = await connection.ask(request)
        if answer.status >= _REQUEST_FAILED:
            raise SystemExit(f"error: {address.host}:{address.port} answers {answer.status}: {answer.body[:300]!r}")
    connection.close()


if __name__ == "__main__":
    sys.exit(main())
