"""Calls from one deployment to another, with a timeout and our own errors."""

import asyncio
from collections.abc import Sequence
from typing import Any

import grpc
from ray.exceptions import RayError
from ray.serve.exceptions import RayServeException
from ray.serve.handle import DeploymentHandle, DeploymentResponse, DeploymentResponseGenerator

from deployments.errors import MemoryLayerError

# gRPC's errors too: Serve translates only UNAVAILABLE. RESOURCE_EXHAUSTED, for one, means a call that is too large.
_FAILURES = (RayError, RayServeException, grpc.RpcError, TimeoutError)


class RemoteMethod:
    """A method of another deployment.

    Errors of Ray or gRPC (the replica is gone, full or slow, or the call is too large) are raised as `unavailable`.
    Errors that the other side raises on purpose pass through: Ray wraps their class, so they are recognised by their
    `code`. The caller keeps arguments and results within the limits of `call_bytes`.
    """

    def __init__(
        self, handle: DeploymentHandle[Any], method: str, unavailable: type[MemoryLayerError], timeout: float
    ) -> None:
        """`timeout`: seconds for a call, including the wait for a free replica."""
        self._method = getattr(_plain(handle), method)
        self._name = method
        self._unavailable = unavailable
        self._timeout = timeout

    async def __call__(self, *arguments: object) -> Any:
        """Call the method. Raises `unavailable`, or what the other side raised on purpose."""
        try:
            async with asyncio.timeout(self._timeout):
                return await _given_up_with_its_caller(self._method.remote(*arguments))
        except _FAILURES as error:
            if _is_ours(error):
                raise
            raise _meaning(error, self._unavailable, self._name) from error


class RemoteAnswer:
    """A method of another deployment that streams the answer to one item in parts, so that its size is not limited."""

    def __init__(
        self, handle: DeploymentHandle[Any], method: str, unavailable: type[MemoryLayerError], timeout: float
    ) -> None:
        """`timeout`: seconds until the first part, and between two parts."""
        self._method = getattr(_plain(handle).options(stream=True), method)
        self._name = method
        self._unavailable = unavailable
        self._timeout = timeout

    async def __call__(self, items: Sequence[object]) -> list[bytes | MemoryLayerError]:
        """Return the answer to the only item, or the error in its place. Raises `unavailable`."""
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
    """Return the handle with plain pickle for arguments and results: it takes half the time of cloudpickle."""
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
        # Serve does not cancel by itself: the replica and its statement in Postgres would go on without a caller.
        response.cancel()  # type: ignore[no-untyped-call]
        raise
