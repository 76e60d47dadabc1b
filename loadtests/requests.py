"""Builds HTTP requests as bytes, before the clock starts."""

from collections.abc import Iterable, Iterator
from urllib.parse import urlencode

import orjson

from loadtests.texts import TenantTexts, Turn, distinct_queries

_HOST = b"Host: bench\r\n"


def get(path: str, **parameters: object) -> bytes:
    """Return a GET request."""
    query = f"?{urlencode(parameters)}" if parameters else ""
    return f"GET {path}{query} HTTP/1.1\r\n".encode() + _HOST + b"\r\n"


def delete(path: str, **parameters: object) -> bytes:
    """Return a DELETE request."""
    return f"DELETE {path}?{urlencode(parameters)} HTTP/1.1\r\n".encode() + _HOST + b"\r\n"


def post(path: str, body: object) -> bytes:
    """Return a POST request with a JSON body."""
    content = orjson.dumps(body)
    head = f"POST {path} HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: {len(content)}\r\n".encode()
    return head + _HOST + b"\r\n" + content


def message(tenant_id: str, turn: Turn) -> dict[str, object]:
    """Return a turn as a message of the API."""
    return {
        "tenant_id": tenant_id,
        "conversation_id": f"conversation-{turn.conversation}",
        "role": turn.role,
        "name": turn.name,
        "content": turn.content,
        "metadata": {"channel": "bench"},
    }


def batches(tenant_id: str, texts: TenantTexts, messages: int, size: int) -> Iterator[bytes]:
    """Yield all of a tenant's messages, `size` per request."""
    said = [message(tenant_id, turn) for turn in texts.turns(messages)]
    for start in range(0, messages, size):
        yield post("/v1/messages/batch", {"messages": said[start : start + size]})


def endless_batches(tenants: Iterable[str], seed: int, size: int) -> Iterator[bytes]:
    """Yield batches of one tenant each, cycling through the tenants for ever."""
    speaking = [(tenant, TenantTexts(number, seed)) for number, tenant in enumerate(tenants)]
    while True:
        for tenant, texts in speaking:
            yield post("/v1/messages/batch", {"messages": [message(tenant, turn) for turn in texts.turns(size)]})


def endless_stores(tenants: Iterable[str], seed: int) -> Iterator[bytes]:
    """Yield single messages, a question and its answer for each tenant, cycling for ever."""
    speaking = [(tenant, TenantTexts(number, seed)) for number, tenant in enumerate(tenants)]
    while True:
        for tenant, texts in speaking:
            for turn in texts.turns(2):
                yield post("/v1/messages", message(tenant, turn))


def endless_searches(tenants: list[str], seed: int) -> Iterator[bytes]:
    """Yield searches for what the tenants talk about, no query twice."""
    for number, query in distinct_queries(len(tenants), seed):
        yield get("/v1/memory/search", tenant_id=tenants[number], query=query, top_k=10)
