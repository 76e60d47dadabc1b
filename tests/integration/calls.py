"""The calls that most tests make."""

from datetime import UTC, datetime
from typing import Any

import httpx

from deployments.analysis.query import AnalyzedQuery, analyze_query
from deployments.schemas.search import SearchRequest
from tests.integration.service import Service

Json = dict[str, Any]


def message(content: str = "I love Python programming", **fields: Any) -> Json:
    """The body of a store."""
    return {"tenant_id": "acme", "conversation_id": "c1", "role": "user", "content": content, **fields}


async def store(service: Service, content: str = "I love Python programming", **fields: Any) -> Json:
    """Store a message; the answer."""
    answer = await service.client.post("/v1/messages", json=message(content, **fields))
    assert answer.status_code == 202, answer.text
    return _json(answer)


async def store_many(service: Service, messages: list[Json]) -> list[Json]:
    """Store messages in one batch; the stored ones, in order."""
    answer = await service.client.post("/v1/messages/batch", json={"messages": messages})
    assert answer.status_code == 202, answer.text
    return [item["message"] for item in answer.json()["items"]]


async def get(service: Service, message_id: str) -> Json:
    """A message as it is now."""
    answer = await service.client.get(f"/v1/messages/{message_id}")
    assert answer.status_code == 200, answer.text
    return _json(answer)


async def change(service: Service, message_id: str, **fields: Any) -> Json:
    """Change a message; the answer."""
    answer = await service.client.patch(f"/v1/messages/{message_id}", json=fields)
    assert answer.status_code == 200, answer.text
    return _json(answer)


async def search(service: Service, query: str, **parameters: Any) -> Json:
    """Search with a body; the answer."""
    request = {"tenant_id": "acme", "query": query, **parameters}
    answer = await service.client.post("/v1/memory/search", json=request)
    assert answer.status_code == 200, answer.text
    return _json(answer)


async def found(service: Service, query: str, **parameters: Any) -> list[str]:
    """The contents of a search's hits, best first."""
    return [hit["content"] for hit in (await search(service, query, **parameters))["items"]]


def analyzed(request: SearchRequest) -> AnalyzedQuery:
    """Return what an English query asks for now."""
    return analyze_query(request.query, datetime.now(UTC), ("en",))


def error_of(answer: httpx.Response) -> Json:
    """The error of an answer, which has the one shape that all of them have."""
    body = _json(answer)
    assert set(body) == {"error"}, body
    error: Json = body["error"]
    assert {"code", "message", "request_id"} <= set(error) <= {"code", "message", "request_id", "details"}, error
    assert error["request_id"] == answer.headers["X-Request-ID"]
    for leak in ("Traceback", "SELECT", "INSERT", "asyncpg", "postgres", '.py"', "site-packages"):
        assert leak not in answer.text
    return error


def _json(answer: httpx.Response) -> Json:
    body: Json = answer.json()
    return body
