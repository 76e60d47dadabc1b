"""Pushes a replica's metrics to the Metrics deployment."""

import asyncio
import time
from collections.abc import Callable
from uuid import uuid4

import structlog
from prometheus_client.registry import Collector

from deployments.errors import UnavailableError
from deployments.runtime.metrics.push import HEARTBEAT_SECONDS, PUSH_SECONDS, Push, SendPush
from deployments.runtime.metrics.snapshot import Snapshot, settled, since, take

logger = structlog.get_logger(__name__)


class MetricsReporter:
    """Pushes a registry each second in which a metric changed.

    A push is retried until it is acknowledged. Increments of the meantime go into the next one.
    """

    def __init__(self, registry: Collector, push: SendPush, clock: Callable[[], float] = time.monotonic) -> None:
        self._registry = registry
        self._push = push
        self._clock = clock
        self._replica = uuid4().hex
        self._number = 0
        # The snapshot of the last push, acknowledged or not.
        self._pushed: Snapshot = {}
        self._unacknowledged: Push | None = None
        self._heartbeat_at = clock()
        self._away = False

    async def run(self) -> None:
        """Push until cancelled."""
        while True:
            await self.push_or_go_on()
            await asyncio.sleep(PUSH_SECONDS)

    async def push_or_go_on(self) -> None:
        """Push if a push is due. Never raises."""
        try:
            await self.push_if_due()
        except Exception:
            # A bug here must not stop the metrics for good, nor the rest of a shutdown.
            logger.exception("metrics_push_broke")

    async def push_if_due(self) -> None:
        """Push the current snapshot if a metric changed or a heartbeat is due."""
        # In a thread: with many series it would block requests for too long.
        measured = await asyncio.to_thread(take, self._registry)
        try:
            await self._send_unacknowledged()
            if self._is_due(measured):
                self._number += 1
                self._unacknowledged = Push(self._replica, self._number, since(measured, self._pushed))
                self._pushed = measured
                self._heartbeat_at = self._clock() + HEARTBEAT_SECONDS
                await self._send_unacknowledged()
        except UnavailableError as error:
            self._note_away(error)
        else:
            self._note_back()

    def _is_due(self, measured: Snapshot) -> bool:
        """Return whether to push: a metric changed, or a heartbeat is due."""
        return settled(measured) != settled(self._pushed) or self._clock() >= self._heartbeat_at

    async def _send_unacknowledged(self) -> None:
        if self._unacknowledged is None:
            return
        await self._push(self._unacknowledged)
        self._unacknowledged = None

    def _note_away(self, error: UnavailableError) -> None:
        if not self._away:
            self._away = True
            logger.warning("metrics_not_pushed", reason=error.message, details=error.details)

    def _note_back(self) -> None:
        if self._away:
            self._away = False
            logger.info("metrics_pushed_again")
