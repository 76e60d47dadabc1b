"""The keys that hold, in the memory of each ingress replica.

A request costs no round trip: while requests come, the replica polls for what changed. The first request after a rest
waits for one read. A key that it does not know is looked for in the
database, all such requests together, so that guessing costs the database a few small reads a second and no more.
"""

import asyncio
import contextlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Protocol
from uuid import UUID

import structlog
from cachetools import TTLCache

from deployments.errors import ConfigurationError, DatabaseUnavailableError, MemoryLayerError, UnauthorizedError
from deployments.schemas.api_key_format import digest, prefix_of
from deployments.schemas.api_keys import EVERYTHING, Rights
from deployments.settings import Environment, Settings
from deployments.storage.tenants.api_keys import KeyChanges, StoredKey

logger = structlog.get_logger(__name__)

POLL_SECONDS = 0.4
# Without a request for so long, nothing is read until one comes.
REST_AFTER_SECONDS = 10.0
# Where the database does not answer the first request after a rest, the keys that are known hold on.
WAKE_TIMEOUT_SECONDS = 1.0
# A change is seen when it is committed, which may be later than the time it bears.
READ_AGAIN = timedelta(seconds=60)
READ_TIMEOUT_SECONDS = 5.0
SEARCH_GAP_SECONDS = 0.05
NOTE_USES_SECONDS = 60.0
REFUSED_KEPT = 1024
REFUSED_SECONDS = 5.0
NO_KEYS = (
    "No API key is configured, which MEMORY_ENVIRONMENT=production does not allow: "
    "set MEMORY_API_KEYS, or run `python -m jobs.keys create`"
)


class KeySource(Protocol):
    """Where keys are read from; `deployments.storage.tenants.api_keys.ApiKeyRepository`, but for tests."""

    async def changed_since(self, since: datetime | None) -> KeyChanges:
        """The keys that changed after `since`; None: all."""
        ...

    async def note_uses(self, uses: Mapping[UUID, datetime]) -> None:
        """Note when keys were last used."""
        ...


@dataclass(frozen=True)
class Caller:
    """Who asks. `name` is the key's prefix, `root` or `anyone`: what may stand in logs. `rate_limit`: the key's own."""

    name: str
    rights: Rights = field(default=EVERYTHING)
    rate_limit: str | None = None

    @property
    def was_made(self) -> bool:
        """Whether it is one of the keys in the database: root keys have no limit of their own."""
        return self.name not in {ROOT.name, ANYONE.name}


ROOT = Caller("root")
ANYONE = Caller("anyone")


@dataclass(frozen=True)
class _HeldKey:
    id: UUID
    digest: bytes
    caller: Caller

    def holds(self, now: datetime) -> bool:
        expires_at = self.caller.rights.expires_at
        return expires_at is None or expires_at > now


class Keyring:
    """Tells who a key belongs to. One for each replica; `start` has it follow the database."""

    def __init__(self, source: KeySource, settings: Settings) -> None:
        self._source = source
        self._production = settings.runtime.environment is Environment.PRODUCTION
        self._root_digests = [digest(key) for key in settings.access.root_keys]
        self._held: dict[str, _HeldKey] = {}
        self._refused: TTLCache[bytes, bool] = TTLCache(REFUSED_KEPT, REFUSED_SECONDS)
        self._uses: dict[UUID, datetime] = {}
        self._uses_noted = monotonic()
        self._read_until: datetime | None = None
        self._required = bool(self._root_digests) or self._production
        self._any_stored = False
        self._reading = asyncio.Lock()
        self._searching = asyncio.Lock()
        self._searched = 0.0
        self._search_failed = False
        self._asked_at = monotonic()
        self._rests = False
        self._waking = asyncio.Lock()
        self._following: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Read the keys and follow their changes. Raises `ConfigurationError` in production without any key."""
        try:
            await self.refresh()
        except MemoryLayerError as error:
            logger.warning("keys_not_read", reason=error.message)
        if self._read_until is not None:
            self._judge_start()
        self._following = asyncio.create_task(self._follow())

    async def stop(self) -> None:
        """Stop following, and note the last uses."""
        if self._following is not None:
            self._following.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._following
        with contextlib.suppress(MemoryLayerError):
            await self.note_uses()

    @property
    def following(self) -> asyncio.Task[None] | None:
        """What reads the changes; None before `start`."""
        return self._following

    async def caller(self, key: str | None) -> Caller:
        """Whose key it is. Without any key in the world, in development, anyone is let in.

        Raises `UnauthorizedError`, or `DatabaseUnavailableError` where the key is not known here and cannot be
        looked for.
        """
        self._asked_at = monotonic()
        if self._rests:
            await self._wake()
        if not self._required and self._read_until is None:
            await self._search()
        if not self._required:
            return ANYONE
        if key is None:
            raise UnauthorizedError("An API key is needed: send it as X-API-Key or as Authorization: Bearer.")
        return self._known(key) or await self._look_for(key)

    async def refresh(self) -> None:
        """Read what changed since the last time. Raises `DatabaseUnavailableError` or `OverloadedError`."""
        # One after the other: a read that began earlier must not undo what a later one found.
        async with self._reading:
            since = None if self._read_until is None else self._read_until - READ_AGAIN
            changes = await self._read(since)
            for key in changes.keys:
                self._take(key)
            self._read_until = changes.read_at

    async def note_uses(self) -> None:
        """Write when keys were last used. What cannot be written is kept for the next time."""
        if not self._uses:
            return
        uses, self._uses = self._uses, {}
        try:
            await self._source.note_uses(uses)
        except MemoryLayerError:
            self._uses = uses | self._uses
            raise

    async def _read(self, since: datetime | None) -> KeyChanges:
        # A connection that hangs must not keep the revocations from this replica until TCP gives it up.
        try:
            async with asyncio.timeout(READ_TIMEOUT_SECONDS):
                return await self._source.changed_since(since)
        except TimeoutError:
            raise DatabaseUnavailableError("The keys cannot be read just now.") from None

    def _judge_start(self) -> None:
        if self._production and not self._root_digests and not self._any_stored:
            raise ConfigurationError(NO_KEYS)
        if not self._required:
            logger.warning("open_to_anyone", reason="no API key is configured: whoever reaches the service may do all")

    def _known(self, key: str) -> Caller | None:
        prefix = prefix_of(key)
        hashed = digest(key)
        held = self._held.get(prefix) if prefix is not None else None
        if held is not None:
            return self._use(held) if hmac.compare_digest(held.digest, hashed) else None
        # Each is compared, whichever fits: how long it takes says nothing about any of them.
        fits = [hmac.compare_digest(root, hashed) for root in self._root_digests]
        return ROOT if any(fits) else None

    def _use(self, held: _HeldKey) -> Caller | None:
        now = datetime.now(UTC)
        if not held.holds(now):
            return None
        self._uses[held.id] = now
        return held.caller

    async def _look_for(self, key: str) -> Caller:
        refused = UnauthorizedError("This API key does not hold: it is unknown, expired or revoked.")
        hashed = digest(key)
        if prefix_of(key) is None or hashed in self._refused:
            raise refused
        await self._search()
        found = self._known(key)
        if found is None:
            self._refused[hashed] = True
            raise refused
        return found

    async def _search(self) -> None:
        """Read anew, one read for all who come while another is under way, and not too often."""
        came = monotonic()
        async with self._searching:
            if self._searched < came:
                await asyncio.sleep(self._searched + SEARCH_GAP_SECONDS - monotonic())
                await self._search_once()
            if self._search_failed:
                raise DatabaseUnavailableError("The key cannot be checked just now.")

    async def _search_once(self) -> None:
        # Until it is done there was none: where whoever reads is cancelled, those who wait for it read themselves.
        started, self._searched = monotonic(), 0.0
        try:
            await self.refresh()
            self._search_failed = False
        except MemoryLayerError:
            self._search_failed = True
        self._searched = started

    def _take(self, key: StoredKey) -> None:
        # A key that was revoked counts too: taking the last one away must not open the service to all.
        self._required = self._any_stored = True
        if key.revoked:
            self._held.pop(key.prefix, None)
            return
        held, caller = self._held.get(key.prefix), Caller(key.prefix, key.rights, key.rate_limit)
        if held is None or held.caller != caller:
            self._held[key.prefix] = _HeldKey(key.id, key.digest, caller)

    async def _wake(self) -> None:
        """End a rest with one read, for which all who come meanwhile wait."""
        async with self._waking:
            if not self._rests:
                return
            try:
                async with asyncio.timeout(WAKE_TIMEOUT_SECONDS):
                    await self.refresh()
            except (MemoryLayerError, TimeoutError) as error:
                logger.debug("keys_not_read", reason=str(error))
            self._rests = False

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(POLL_SECONDS)
            try:
                self._rests |= monotonic() - self._asked_at >= REST_AFTER_SECONDS
                if not self._rests:
                    await self.refresh()
                await self._note_uses_in_time()
            except MemoryLayerError as error:
                logger.debug("keys_not_read", reason=error.message)
            except Exception:
                # Whatever it is, following must go on: else no revocation would reach this replica any more.
                logger.exception("keys_not_followed")

    async def _note_uses_in_time(self) -> None:
        if monotonic() - self._uses_noted >= NOTE_USES_SECONDS:
            self._uses_noted = monotonic()
            await self.note_uses()
