"""What tracing costs a request: `python -m loadtests.tracing --off http://127.0.0.1:8000 --on http://127.0.0.1:8001`.

Two services on one machine, without rate limits, one with tracing on and one without. They are asked the same in turn
(off, on, on, off, ...), so that what else the machine does cancels out: the ratios count, not the numbers. Each gets a
tenant of its own, which is erased in the end.
"""

import argparse
import asyncio
import sys
from collections.abc import Iterator
from itertools import cycle, islice
from statistics import median
from time import time
from urllib.parse import urlsplit

import uvloop

from loadtests import requests
from loadtests.client import Address, Turn, percentile, run_turn
from loadtests.texts import TenantTexts, distinct_queries

_MESSAGES = 200
_BATCH = 100
_QUERIES = 4_000
_SETTLE_SECONDS = 2.0


def main() -> int:
    """Measure and print; 1 where an answer was no 2xx."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.tracing", description=__doc__)
    parser.add_argument("--off", required=True, help="the service without tracing")
    parser.add_argument("--on", required=True, help="the service with tracing")
    parser.add_argument("--seconds", type=float, default=4.0, help="length of each turn (4)")
    parser.add_argument("--rounds", type=int, default=8, help="turns of each side (8)")
    parser.add_argument("--callers", type=int, nargs="+", default=[1, 16], help="how many ask at once (1 16)")
    given = parser.parse_args()
    return uvloop.run(_measure(given))


async def _measure(given: argparse.Namespace) -> int:
    sides = [_address(given.off), _address(given.on)]
    tenant = f"tracing-{int(time()):x}"
    refused = 0
    try:
        for side in sides:
            await _all_answered(side, requests.batches(tenant, TenantTexts(0, 0), _MESSAGES, _BATCH))
        await asyncio.sleep(_SETTLE_SECONDS)
        for kind in ("search", "store"):
            for callers in given.callers:
                refused += await _compare(kind, callers, sides, tenant, given)
    finally:
        for side in sides:
            await run_turn(
                side, iter([requests.delete(f"/v1/admin/tenants/{tenant}")]), callers=1, seconds=1, warm_up=0
            )
    return int(refused > 0)


async def _compare(kind: str, callers: int, sides: list[Address], tenant: str, given: argparse.Namespace) -> int:
    turns: tuple[list[Turn], list[Turn]] = ([], [])
    for number in range(given.rounds):
        for side in (0, 1) if number % 2 == 0 else (1, 0):
            asked = _requests(kind, tenant, seed=number)
            turns[side].append(await run_turn(sides[side], asked, callers=callers, seconds=given.seconds))
            if kind == "store":
                await asyncio.sleep(_SETTLE_SECONDS)
    off, on = ([percentile(turn.latencies, 0.5) * 1e3 for turn in each] for each in turns)
    ratios = [b / a for a, b in zip(off, on, strict=True)]
    print(
        f"{kind}, {callers} at once: p50 {median(off):.2f} ms off, {median(on):.2f} ms on; "
        f"ratio {median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f} over {len(ratios)} rounds); "
        f"per second {_rate(turns[0]):.0f} off, {_rate(turns[1]):.0f} on",
        flush=True,
    )
    return sum(sum(turn.refused.values()) for each in turns for turn in each)


def _requests(kind: str, tenant: str, seed: int) -> Iterator[bytes]:
    if kind == "store":
        return requests.endless_stores([tenant], seed)
    queries = (query for _, query in islice(distinct_queries(1, seed), _QUERIES))
    return cycle([requests.get("/v1/memory/search", tenant_id=tenant, query=query, top_k=10) for query in queries])


async def _all_answered(side: Address, asked: Iterator[bytes]) -> None:
    turn = await run_turn(side, asked, callers=1, seconds=60, warm_up=0)
    if turn.refused:
        raise SystemExit(f"error: {side} refuses the messages: {turn.refused}")


def _rate(turns: list[Turn]) -> float:
    return median(len(turn.latencies) / turn.seconds for turn in turns)


def _address(url: str) -> Address:
    parts = urlsplit(url)
    return Address(parts.hostname or "127.0.0.1", parts.port or 80)


if __name__ == "__main__":
    sys.exit(main())
