"""A running service, evaluated over HTTP with temporary tenants, which are deleted afterwards."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import httpx
import structlog
from tenacity import (
    AsyncRetrying,
    retry_if_result,
    stop_after_attempt,
    wait_exponential_jitter,
)

from jobs.evaluation.configurations import Configuration
from jobs.evaluation.dataset import LabelledMessage, Tenant
from jobs.evaluation.errors import EvaluationFailedError
from jobs.evaluation.memory.protocol import Memory
from jobs.progress import Advance, Progress

STORED_AT_ONCE = 200
# Below the service's default body limit of 16 MiB, however many bytes the characters take in UTF-8.
STORED_AT_ONCE_CHARACTERS = 2_000_000
PAGE = 200
DELETED_AT_ONCE = 8
POLL_SECONDS = 0.5
TIMEOUT_SECONDS = 120.0
ATTEMPTS = 5
PAUSE_SECONDS = 0.2
PAUSE_MOST_SECONDS = 5.0
_TRY_AGAIN = {429, 503}

logger = structlog.get_logger(__name__)


class Service:
    """The calls of an evaluation."""

    def __init__(self, client: httpx.AsyncClient, prefix: str) -> None:
        """`prefix`: prefix of the ids of its tenants."""
        self._client = client
        self._prefix = prefix
        self._ids: dict[str, str] = {}

    def tenant_id(self, tenant: int) -> str:
        """Return the service's id of a tenant."""
        return f"{self._prefix}{tenant}"

    async def store(self, tenant: int, batch: Sequence[LabelledMessage]) -> None:
        """Store messages. Raises `EvaluationFailedError` for the first that is refused."""
        own = {"tenant_id": self.tenant_id(tenant)}
        messages = [each.message.model_dump(mode="json", exclude_none=True) | own for each in batch]
        answer = await self._call("POST", "/v1/messages/batch", json={"messages": messages})
        for item, each in zip(answer["items"], batch, strict=True):
            if "error" in item:
                raise EvaluationFailedError(f"Message {each.id} was refused: {item['error']}")
            self._ids[item["message"]["id"]] = each.id

    async def wait_until_embedded(self, tenant: int, advance: Advance) -> None:
        """Wait until each message of a tenant has its embedding. Raises `EvaluationFailedError` if one has failed.

        It polls the tenant's own messages: on a service in use other tenants' messages are always pending.
        """
        page: dict[str, str | int] = {"tenant_id": self.tenant_id(tenant), "limit": PAGE}
        while True:
            answer = await self._call("GET", "/v1/messages", params=page)
            statuses = {item["embedding_status"]: item for item in answer["items"]}
            if "failed" in statuses:
                raise EvaluationFailedError(f"A message was not embedded: {statuses['failed']['embedding_error']}")
            if "pending" in statuses:
                await asyncio.sleep(POLL_SECONDS)
                continue
            advance(len(answer["items"]))
            if answer["next_cursor"] is None:
                return
            page["cursor"] = answer["next_cursor"]

    async def search(self, tenant: int, question: str, top_k: int, weights: dict[str, float]) -> list[str]:
        """Return the ids of the hits, best first. Raises `EvaluationFailedError`."""
        own = {"tenant_id": self.tenant_id(tenant), "query": question, "top_k": top_k}
        answer = await self._call("POST", "/v1/memory/search", json=own | ({"weights": weights} if weights else {}))
        if answer["degraded"]:
            raise EvaluationFailedError(f"The service could not embed a question: {question[:80]!r}")
        return [self._ids.get(hit["message_id"], hit["message_id"]) for hit in answer["items"]]

    async def delete(self, tenant: int, conversation_id: str) -> None:
        """Delete a conversation with all of its messages, if it exists."""
        path = f"/v1/conversations/{quote(conversation_id, safe='')}"
        await self._call("DELETE", path, params={"tenant_id": self.tenant_id(tenant)}, accepted=(404,))

    async def _call(self, method: str, path: str, *, accepted: Sequence[int] = (), **options: Any) -> Any:
        try:
            answer: httpx.Response = await _patiently(self._client.request, method, path, **options)
        except httpx.HTTPError as error:
            raise EvaluationFailedError(f"{method} {path}: {str(error) or type(error).__name__}") from error
        if answer.is_success or answer.status_code in accepted:
            return answer.json() if answer.is_success and answer.content else None
        raise EvaluationFailedError(f"{method} {path}: {answer.status_code} {answer.text[:500]}")


def _is_busy(answer: httpx.Response) -> bool:
    return answer.status_code in _TRY_AGAIN


# Do not repeat an interrupted store: its messages may have been stored.
_patiently = AsyncRetrying(
    retry=retry_if_result(_is_busy),
    stop=stop_after_attempt(ATTEMPTS),
    wait=wait_exponential_jitter(multiplier=PAUSE_SECONDS, max=PAUSE_MOST_SECONDS),
    retry_error_callback=lambda state: state.outcome and state.outcome.result(),
)


class HttpMemory:
    """A service, searched with one configuration's weights."""

    def __init__(self, service: Service, configuration: Configuration) -> None:
        self._service = service
        # Send only the weights that were set: the service's version may have other default weights than this one.
        self._weights = configuration.weights.model_dump(exclude_unset=True)

    async def ask(self, tenant: int, question: str, top_k: int) -> list[str]:
        """Return the ids of the hits, best first. Raises `EvaluationFailedError`."""
        return await self._service.search(tenant, question, top_k, self._weights)


@asynccontextmanager
async def memories_over_http(
    client: httpx.AsyncClient, configurations: Sequence[Configuration], tenants: Sequence[Tenant], progress: Progress
) -> AsyncIterator[list[Memory]]:
    """Yield a memory for each configuration, of the service that `client` calls, with the tenants' messages.

    All that was stored is deleted after the block, also on errors. Raises `EvaluationFailedError`.
    """
    service = Service(client, f"evaluation-{uuid4().hex[:12]}-")
    try:
        await _fill(service, tenants, progress)
        yield [HttpMemory(service, configuration) for configuration in configurations]
    finally:
        await _clean(service, tenants, progress)


def http_client(url: str, key: str | None) -> httpx.AsyncClient:
    """Return a client of the service at `url`."""
    headers = {} if key is None else {"X-API-Key": key}
    return httpx.AsyncClient(base_url=url, headers=headers, timeout=TIMEOUT_SECONDS)


async def _fill(service: Service, tenants: Sequence[Tenant], progress: Progress) -> None:
    count = sum(len(tenant.messages) for tenant in tenants)
    with progress.step("storing messages", count) as advance:
        for number, tenant in enumerate(tenants):
            for batch in batches(tenant.messages):
                await service.store(number, batch)
                advance(len(batch))
    with progress.step("waiting for embeddings", count) as advance:
        for number in range(len(tenants)):
            await service.wait_until_embedded(number, advance)


def batches(messages: Sequence[LabelledMessage]) -> Iterator[list[LabelledMessage]]:
    """Yield the messages in order, in batches that fit into a request body."""
    batch: list[LabelledMessage] = []
    characters = 0
    for each in messages:
        characters += len(each.message.content)
        if batch and (len(batch) == STORED_AT_ONCE or characters > STORED_AT_ONCE_CHARACTERS):
            yield batch
            batch, characters = [], len(each.message.content)
        batch.append(each)
    if batch:
        yield batch


async def _clean(service: Service, tenants: Sequence[Tenant], progress: Progress) -> None:
    conversations = [
        (number, conversation_id)
        for number, tenant in enumerate(tenants)
        for conversation_id in dict.fromkeys(each.message.conversation_id for each in tenant.messages)
    ]
    left = 0
    with progress.step("deleting what was stored", len(conversations)) as advance:
        for start in range(0, len(conversations), DELETED_AT_ONCE):
            some = conversations[start : start + DELETED_AT_ONCE]
            outcomes = await asyncio.gather(*(service.delete(*each) for each in some), return_exceptions=True)
            left += sum(outcome is not None for outcome in outcomes)
            advance(len(some))
    if left:
        logger.error("conversations_left", count=left, tenants=service.tenant_id(0).removesuffix("0") + "*")
