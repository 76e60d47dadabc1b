"""A cheap load client, since it shares the machine with the service: raw HTTP/1.1 with keep-alive."""

import asyncio
import math
from argparse import ArgumentTypeError
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from time import perf_counter, process_time
from typing import cast
from urllib.parse import urlsplit

SERVICE = "http://127.0.0.1:8000"

_HEAD_END = b"\r\n\r\n"
_LAST_CHUNK = b"\r\n0\r\n\r\n"
_NO_ANSWER = 0
_ANSWER_TIMEOUT_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Address:
    """The host and port of the service."""

    host: str
    port: int


def address_of(url: str) -> Address:
    """Return the address of a local service, for argparse. Raises `ArgumentTypeError` for any other host."""
    parts = urlsplit(url)
    host = "127.0.0.1" if parts.hostname in {None, "localhost"} else parts.hostname
    try:
        if ip_address(host).is_loopback:
            return Address(host, parts.port or 80)
    except ValueError as error:
        raise ArgumentTypeError(f"{url}: {error}") from None
    raise ArgumentTypeError(f"{url}: load is for this machine alone, 127.0.0.1")


@dataclass(frozen=True, slots=True)
class Answer:
    """A status, 0 if the connection broke, and a body (undecoded if it is chunked)."""

    status: int
    body: bytes

    @property
    def accepted(self) -> bool:
        """Return whether the status is 2xx."""
        return 200 <= self.status < 300  # noqa: PLR2004 - HTTP's own numbers


class Connection(asyncio.Protocol):
    """A connection for one request at a time. It reconnects after the server has closed."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._transport: asyncio.Transport | None = None
        self._received = bytearray()
        self._length = -1
        self._waiting: asyncio.Future[Answer] | None = None

    async def ask(self, request: bytes) -> Answer:
        """Send a request, and return its answer."""
        try:
            if self._transport is None or self._transport.is_closing():
                await asyncio.get_running_loop().create_connection(lambda: self, self._address.host, self._address.port)
        except OSError:
            await asyncio.sleep(0.01)
            return Answer(_NO_ANSWER, b"")
        self._waiting = asyncio.get_running_loop().create_future()
        if self._transport is None:
            return Answer(_NO_ANSWER, b"")
        self._transport.write(request)
        return await self._waiting

    def close(self) -> None:
        """Close the connection."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport. Called by asyncio."""
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, _: Exception | None) -> None:
        """Fail the pending request. Called by asyncio."""
        self._transport = None
        self._deliver(Answer(_NO_ANSWER, b""))

    def data_received(self, data: bytes) -> None:
        """Return the answer to the caller once it is complete. Called by asyncio."""
        self._received += data
        if self._length < 0:
            self._read_head()
        whole = self._received.endswith(_LAST_CHUNK) if self._length == 0 else len(self._received) >= self._length > 0
        if whole:
            head, _, body = bytes(self._received).partition(_HEAD_END)
            self._deliver(Answer(int(head[9:12]), body))

    def _read_head(self) -> None:
        """Set the length of the answer; 0 for chunks, which have an end marker."""
        end = self._received.find(_HEAD_END)
        if end < 0:
            return
        head = bytes(self._received[:end]).lower()
        name = b"\r\ncontent-length:"
        at = head.find(name)
        if at >= 0:
            self._length = end + len(_HEAD_END) + int(head[at + len(name) :].split(b"\r\n", 1)[0])
        else:
            self._length = 0 if b"chunked" in head else end + len(_HEAD_END)

    def _deliver(self, answer: Answer) -> None:
        self._received = bytearray()
        self._length = -1
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(answer)


@dataclass
class Turn:
    """The results of one turn of load."""

    seconds: float = 0.0
    client_cpu_share: float = 0.0
    latencies: list[float] = field(default_factory=list)
    statuses: dict[int, int] = field(default_factory=dict)
    marked: int = 0

    @property
    def accepted(self) -> int:
        """Return the number of 2xx answers."""
        return sum(count for status, count in self.statuses.items() if 200 <= status < 300)  # noqa: PLR2004

    @property
    def refused(self) -> dict[int, int]:
        """Return the number of answers by every other status; 0 if the connection broke."""
        return {s: count for s, count in sorted(self.statuses.items()) if not 200 <= s < 300}  # noqa: PLR2004


async def run_turn(
    address: Address,
    requests: Iterator[bytes],
    *,
    callers: int,
    seconds: float,
    warm_up: float = 0.5,
    mark: Sequence[bytes] = (),
) -> Turn:
    """Send `requests` from `callers` for `seconds` after a warm-up; each caller waits for its answer before the next.

    Answers that contain one of `mark` are counted. Ends earlier if the requests run out.
    """
    turn = Turn()
    begin = perf_counter() + warm_up
    end = begin + seconds
    connections = [Connection(address) for _ in range(callers)]
    cpu, started = process_time(), perf_counter()
    try:
        async with asyncio.timeout(warm_up + seconds + _ANSWER_TIMEOUT_SECONDS):
            await asyncio.gather(*(_call(each, requests, begin, end, mark, turn) for each in connections))
    finally:
        for connection in connections:
            connection.close()
    finished = perf_counter()
    turn.client_cpu_share = (process_time() - cpu) / (finished - started)
    turn.seconds = min(finished, end) - begin
    return turn


async def _call(
    connection: Connection, requests: Iterator[bytes], begin: float, end: float, mark: Sequence[bytes], turn: Turn
) -> None:
    for request in requests:
        sent = perf_counter()
        answer = await connection.ask(request)
        now = perf_counter()
        if begin <= now < end:
            turn.latencies.append(now - sent)
            turn.statuses[answer.status] = turn.statuses.get(answer.status, 0) + 1
            turn.marked += any(sign in answer.body for sign in mark)
        if now >= end:
            return


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value below which a share of the sorted values lies; NaN if there are none."""
    if not values:
        return math.nan
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]
