"""Sends what a replica measures to where it is added up."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from uuid import uuid4

import structlog
from prometheus_client.registry import Collector

from deployments.errors import UnavailableError
from deployments.metrics.ledger import GONE_SECONDS, HEARTBEAT_SECONDS, PUSH_SECONDS, Checkpoint, Push, Receipt
from deployments.metrics.snapshot import Snapshot, settled, since, take

logger = structlog.get_logger(__name__)

# Well before the ledger takes this replica for gone: its counts until then are not to be added twice.
RETURNS_AS_ANOTHER_SECONDS = GONE_SECONDS / 2

# A push that takes longer is given up: the next one holds what it held.
PUSH_TIMEOUT_SECONDS = 2.0

SendPush = Callable[[Push], Awaitable[Receipt]]


class MetricsReporter:
    """Pushes a registry with each second in which something happens, and keeps a checkpoint for the ledger.

    A lost push is in the next one.
    """

    def __init__(self, registry: Collector, push: SendPush, clock: Callable[[], float] = time.monotonic) -> None:
        self._registry = registry
        self._push = push
        self._clock = clock
        self._replica = uuid4().hex
        self._number = 0
        # What was counted under another name, and what the ledger has of this one.
        self._counted_before: Snapshot = {}
        self._received: Snapshot = {}
        self._received_at = clock()
        self._keeps: Checkpoint | None = None
        self._again = False
        self._away = False

    async def run(self) -> None:
        """Push until cancelled."""
        while True:
            await self.push_or_go_on()
            await asyncio.sleep(PUSH_SECONDS)

    async def push_or_go_on(self) -> None:
        """Push what is measured by now, if that says anything new. Raises nothing."""
        try:
            await self.push_if_due()
        except Exception:
            # A fault of ours is no reason to measure for nobody from now on, nor to end without what else is to end.
            logger.exception("metrics_push_broke")

    async def push_if_due(self) -> None:
        """Push what is measured by now, if that says anything new, or the last push is some seconds ago."""
        # In a thread: with many series it takes longer than a request should wait.
        measured = await asyncio.to_thread(take, self._registry)
        if self._is_due(measured):
            await self._push_measured(measured)

    def _is_due(self, measured: Snapshot) -> bool:
        """Return whether to push: a metric changed, the ledger asked for a push, or a heartbeat is due."""
        due_at = self._received_at + HEARTBEAT_SECONDS
        return self._again or settled(measured) != settled(self._received) or self._clock() >= due_at

    async def _push_measured(self, measured: Snapshot) -> None:
        try:
            await self._send(self._next(measured))
        except UnavailableError as error:
            self._note_away(error)
        else:
            self._received, self._received_at = measured, self._clock()
            self._note_back()

    def _next(self, measured: Snapshot) -> Push:
        if self._clock() >= self._received_at + RETURNS_AS_ANOTHER_SECONDS:
            self._replica, self._received_at = uuid4().hex, self._clock()
            self._counted_before = self._received
        self._number += 1
        version = self._keeps and self._keeps.version
        return Push(self._replica, self._number, since(measured, self._counted_before), version)

    async def _send(self, push: Push) -> None:
        receipt = await self._push(push)
        if receipt.asks:
            receipt = await self._push(replace(push, checkpoint=self._keeps))
        self._again = receipt.again
        if receipt.keep is not None:
            self._keeps = receipt.keep

    def _note_away(self, error: UnavailableError) -> None:
        if not self._away:
            self._away = True
            logger.warning("metrics_not_pushed", reason=error.message, details=error.details)

    def _note_back(self) -> None:
        if self._away:
            self._away = False
            logger.info("metrics_pushed_again")
