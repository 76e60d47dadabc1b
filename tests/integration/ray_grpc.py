"""Calls between replicas over the gRPC that Serve uses, with its limit and its wrappers, and without a cluster."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
from ray.serve._private.common import RequestMetadata
from ray.serve._private.replica import _wrap_grpc_call
from ray.serve._private.request_router.common import PendingRequest
from ray.serve._private.request_router.replica_wrapper import gRPCReplicaWrapper
from ray.serve.generated.serve_pb2_grpc import ASGIServiceStub, add_ASGIServiceServicer_to_server

from deployments.runtime.call_bytes import LIMIT_BYTES

_OPTIONS = [("grpc.max_receive_message_length", LIMIT_BYTES)]
_ACCEPTED = [("accepted", "1"), ("num_ongoing_requests", "1")]


class _Replica:
    """The server's end, as `ray.serve._private.replica.Replica` has it: it calls the methods of an object."""

    def __init__(self, target: object) -> None:
        self._target = target

    @_wrap_grpc_call  # type: ignore[untyped-decorator]
    async def HandleRequestWithRejection(self, context: Any, metadata: RequestMetadata, *arguments: object) -> Any:  # noqa: N802
        await context.send_initial_metadata(_ACCEPTED)
        return await getattr(self._target, metadata.call_method)(*arguments)

    @_wrap_grpc_call  # type: ignore[untyped-decorator]
    async def HandleRequestWithRejectionStreaming(  # noqa: N802
        self, context: Any, metadata: RequestMetadata, *arguments: object
    ) -> AsyncIterator[Any]:
        await context.send_initial_metadata(_ACCEPTED)
        async for part in getattr(self._target, metadata.call_method)(*arguments):
            yield part

    HandleRequest = HandleRequestWithRejection
    HandleRequestStreaming = HandleRequestWithRejectionStreaming


class _ActorId:
    def binary(self) -> bytes:
        return bytes(16)


class Handle:
    """The caller's end: what `RemoteMethod` and `RemoteAnswer` use of a `DeploymentHandle`."""

    def __init__(self, stub: object, method: str = "", *, stream: bool = False) -> None:
        self._wrapper = gRPCReplicaWrapper(stub, _ActorId())  # type: ignore[no-untyped-call]
        self._stub = stub
        self._method = method
        self._stream = stream

    def options(self, *, stream: bool = False, **_: object) -> "Handle":
        """Return the same with the options that matter here."""
        return Handle(self._stub, self._method, stream=stream)

    def __getattr__(self, method: str) -> "Handle":
        return Handle(self._stub, method, stream=self._stream)

    def remote(self, *arguments: object) -> "_Response":
        """Call the method."""
        metadata = RequestMetadata(
            request_id="",
            internal_request_id="",
            call_method=self._method,
            is_streaming=self._stream,
            _by_reference=False,
            _on_separate_loop=False,
            request_serialization="pickle",
            response_serialization="pickle",
        )
        request = PendingRequest(list(arguments), {}, metadata)
        return _Response(self._wrapper.send_request_python(request, with_rejection=True))


class _Response:
    def __init__(self, result: Any) -> None:
        self._result = result

    def __await__(self) -> Any:
        return self._answer().__await__()

    async def _answer(self) -> Any:
        await self._result.get_rejection_response()
        return await self._result.get_async()

    async def __anext__(self) -> Any:
        await self._result.get_rejection_response()
        return await anext(self._result)

    def cancel(self) -> None:
        self._result.cancel()


@asynccontextmanager
async def served(target: object) -> AsyncIterator[Any]:
    """A handle to an object behind gRPC, for the block."""
    server = grpc.aio.server(options=_OPTIONS)
    add_ASGIServiceServicer_to_server(_Replica(target), server)  # type: ignore[no-untyped-call]
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=_OPTIONS) as channel:
            yield Handle(ASGIServiceStub(channel))  # type: ignore[no-untyped-call]
    finally:
        await server.stop(None)
