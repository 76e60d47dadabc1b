"""Calls from one deployment to another, with a time limit and our own errors."""

import asyncio
from collections.abc import Sequence
from typing import Any

import grpc
from ray.exceptions import RayError
from ray.serve.exceptions import RayServeException
from ray.serve.handle import DeploymentHandle, DeploymentResponse, DeploymentResponseGenerator

from deployments.errors import MemoryLayerError

# gRPC's own: Serve gives a meaning to UNAVAILABLE alone. RESOURCE_EXHAUSTED, for one, is a call that is too large.
_FAILURES = (RayError, RayServeException, grpc.RpcError, TimeoutError)


class RemoteMethod:
    """A method of another deployment.

    Whatever Ray or gRPC says of a replica that is gone, full or slow, or of a call that cannot cross, becomes
    `unavailable`. The errors that the other side raises on purpose pass: Ray wraps their class, so they are told by
    their `code`. The caller keeps what crosses within the sizes of `call_bytes`.
    """

    def __init__(
        self, handle: DeploymentHandle[Any], method: str, unavailable: type[MemoryLayerError], timeout: float
    ) -> None:
        """`timeout`: seconds that a call may take, waiting for a free replica included."""
        self._method = getattr(_plain(handle), method)
        self._name = method
        self._unavailable = unavailable
        self._timeout = timeout

    async def __call__(self, *arguments: object) -> Any:
        """Call it. Raises `unavailable`, or what the other side raised on purpose."""
        try:
            async with asyncio.timeout(self._timeout):
                return await _given_up_with_its_caller(self._method.remote(*arguments))
        except _FAILURES as error:
            if _is_ours(error):
                raise
            raise _meaning(error, self._unavailable, self._name) from error


class RemoteAnswer:
    """A method of another deployment that answers one item, in parts: an answer of any size crosses so."""

    def __init__(
        self, handle: DeploymentHandle[Any], method: str, unavailable: type[MemoryLayerError], timeout: float
    ) -> None:
        """`timeout`: seconds until the first part, and from each to the next."""
        self._method = getattr(_plain(handle).options(stream=True), method)
        self._name = method
        self._unavailable = unavailable
        self._timeout = timeout

    async def __call__(self, items: Sequence[object]) -> list[bytes | MemoryLayerError]:
        """Return the answer to the only item, or the error that it was answered with. Raises `unavailable`."""
        (item,) = items
        try:
            return [await self._joined(self._method.remote(item))]
        except _FAILURES as error:
            if _is_ours(error):
                raise
            raise _meaning(error, self._unavailable, self._name) from error

    async def _joined(self, response: DeploymentResponseGenerator[Any]) -> bytes | MemoryLayerError:
        parts: list[bytes] = []
        try:
            while True:
                async with asyncio.timeout(self._timeout):
                    part = await anext(response, None)
                if part is None:
                    return b"".join(parts)
                if isinstance(part, MemoryLayerError):
                    return part
                parts.append(part)
        except (asyncio.CancelledError, TimeoutError):
            response.cancel()  # type: ignore[no-untyped-call]
            raise


def _plain(handle: DeploymentHandle[Any]) -> DeploymentHandle[Any]:
    """Have data of ours cross by plain pickle, which takes half of the time that cloudpickle takes."""
    return handle.options(request_serialization="pickle", response_serialization="pickle")


def _is_ours(error: Exception) -> bool:
    return isinstance(getattr(error, "code", None), str)


def _meaning(error: Exception, unavailable: type[MemoryLayerError], call: str) -> MemoryLayerError:
    reason = error.code().name if isinstance(error, grpc.aio.AioRpcError) else type(error).__name__
    return unavailable("A part of the service did not answer.", {"call": call, "reason": reason})


async def _given_up_with_its_caller(response: DeploymentResponse[Any]) -> Any:
    try:
        return await response
    except asyncio.CancelledError:
        # Serve does not tell the replica by itself: it would go on for nobody, with its statement in Postgres.
        response.cancel()  # type: ignore[no-untyped-call]
        raise
