"""Calls from one deployment to another, with a time limit and our own errors."""

import asyncio
from typing import Any

from ray.exceptions import RayError
from ray.serve.exceptions import RayServeException
from ray.serve.handle import DeploymentHandle, DeploymentResponse

from deployments.errors import MemoryLayerError


class RemoteMethod:
    """A method of another deployment.

    Whatever Ray says of a replica that is gone, full or slow becomes `unavailable`. The errors that the other
    side raises on purpose pass: Ray wraps their class, so they are told by their `code`.
    """

    def __init__(
        self, handle: DeploymentHandle[Any], method: str, unavailable: type[MemoryLayerError], timeout: float
    ) -> None:
        """`timeout`: seconds that a call may take, waiting for a free replica included."""
        # What crosses is data of ours, which plain pickle handles in half of the time that cloudpickle takes.
        plain = handle.options(request_serialization="pickle", response_serialization="pickle")
        self._method = getattr(plain, method)
        self._name = method
        self._unavailable = unavailable
        self._timeout = timeout

    async def __call__(self, *arguments: object) -> Any:
        """Call it. Raises `unavailable`, or what the other side raised on purpose."""
        try:
            async with asyncio.timeout(self._timeout):
                return await _given_up_with_its_caller(self._method.remote(*arguments))
        except (RayError, RayServeException, TimeoutError) as error:
            if isinstance(getattr(error, "code", None), str):
                raise
            raise self._unavailable(
                "A part of the service did not answer.", {"call": self._name, "reason": type(error).__name__}
            ) from error


async def _given_up_with_its_caller(response: DeploymentResponse[Any]) -> Any:
    try:
        return await response
    except asyncio.CancelledError:
        # Serve does not tell the replica by itself: it would go on for nobody, with its statement in Postgres.
        response.cancel()  # type: ignore[no-untyped-call]
        raise
