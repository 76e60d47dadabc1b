"""Waiting for what tells nobody, for as long as a slow machine may take."""

import asyncio
from collections.abc import Awaitable, Callable

SECONDS = 30


async def until(condition: Callable[[], bool]) -> None:
    """Poll until the condition holds. Raises `TimeoutError`."""

    async def checked() -> bool:
        return condition()

    await until_answered(checked)


async def until_answered(condition: Callable[[], Awaitable[bool]]) -> None:
    """Poll until what the condition asks for is so. Raises `TimeoutError`."""
    async with asyncio.timeout(SECONDS):
        while not await condition():  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.01)
