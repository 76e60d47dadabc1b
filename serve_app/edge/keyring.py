"""An in-memory cache of the valid API keys in each ingress replica.

A request needs no round trip: while requests arrive, the replica polls the database for changed keys. The first request
after an idle period waits for one read. An unknown key causes a read that all such requests share, so that guessing
keys costs the database only a few small reads a second.
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
# After this long without a request the replica stops polling until the next one.
REST_AFTER_SECONDS = 10.0
# If the database does not answer the first request after an idle period, cached keys stay valid.
WAKE_TIMEOUT_SECONDS = 1.0
# A change becomes visible when it is committed, which may be later than its timestamp.
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
    """The source of keys: `deployments.storage.tenants.api_keys.ApiKeyRepository`, or a fake in tests."""

    async def changed_since(self, since: datetime | None) -> KeyChanges:
        """Return the keys that changed after `since`, or all keys for None."""
        ...

    async def note_uses(self, uses: Mapping[UUID, datetime]) -> None:
        """Store when keys were last used."""
        ...


@dataclass(frozen=True)
class Caller:
    """A request's caller. `name`: the key's prefix, `root` or `anyone`, safe to log. `rate_limit`: the key's own."""

    name: str
    rights: Rights = field(default=EVERYTHING)
    rate_limit: str | None = None

    @property
    def was_made(self) -> bool:
        """Return whether the key is stored in the database. Root keys are not, and have no limit of their own."""
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
    """Looks up the caller of a key. Each replica has one; `start` makes it poll the database."""

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
        self._searched_at = 0.0
        self._search_failed = False
        self._last_request_at = monotonic()
        self._idle = False
        self._idle_lock = asyncio.Lock()
        self._following: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Read the keys and start polling for changes. Raises `ConfigurationError` in production if there is no key."""
        try:
            await self.refresh()
        except MemoryLayerError as error:
            logger.warning("keys_not_read", reason=error.message)
        if self._read_until is not None:
            self._check_any_key()
        self._following = asyncio.create_task(self._follow())

    async def stop(self) -> None:
        """Stop polling, and write the last uses."""
        if self._following is not None:
            self._following.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._following
        with contextlib.suppress(MemoryLayerError):
            await self.note_uses()

    @property
    def following(self) -> asyncio.Task[None] | None:
        """Return the polling task, or None before `start`."""
        return self._following

    async def caller(self, key: str | None) -> Caller:
        """Return the caller of a key. In development, if no key exists at all, everyone is admitted.

        Raises `UnauthorizedError`, or `DatabaseUnavailableError` if the key is not cached and the database cannot be
        read.
        """
        self._last_request_at = monotonic()
        if self._idle:
            await self._end_idle_period()
        if not self._required and self._read_until is None:
            await self._search()
        if not self._required:
            return ANYONE
        if key is None:
            raise UnauthorizedError("An API key is needed: send it as X-API-Key or as Authorization: Bearer.")
        return self._known(key) or await self._look_for(key)

    async def refresh(self) -> None:
        """Read the changes since the last read. Raises `DatabaseUnavailableError` or `OverloadedError`."""
        # Reads are serialized: an earlier read must not overwrite what a later one found.
        async with self._reading:
            since = None if self._read_until is None else self._read_until - READ_AGAIN
            changes = await self._read(since)
            for key in changes.keys:
                self._take(key)
            self._read_until = changes.read_at

    async def note_uses(self) -> None:
        """Write when keys were last used. On failure, keep the times for the next attempt."""
        if not self._uses:
            return
        uses, self._uses = self._uses, {}
        try:
            await self._source.note_uses(uses)
        except MemoryLayerError:
            self._uses = uses | self._uses
            raise

    async def _read(self, since: datetime | None) -> KeyChanges:
        # A hanging connection must not keep revocations from this replica until TCP times out.
        try:
            async with asyncio.timeout(READ_TIMEOUT_SECONDS):
                return await self._source.changed_since(since)
        except TimeoutError:
            raise DatabaseUnavailableError("The keys cannot be read just now.") from None

    def _check_any_key(self) -> None:
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
        # Compare every root key, whichever matches, so that the response time reveals nothing about any of them.
        matches = [hmac.compare_digest(root, hashed) for root in self._root_digests]
        return ROOT if any(matches) else None

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
        """Read the changes again: concurrent callers share one read, and reads are rate-limited."""
        arrived_at = monotonic()
        async with self._searching:
            if self._searched_at < arrived_at:
                await asyncio.sleep(self._searched_at + SEARCH_GAP_SECONDS - monotonic())
                await self._search_once()
            if self._search_failed:
                raise DatabaseUnavailableError("The key cannot be checked just now.")

    async def _search_once(self) -> None:
        # Reset first: if the reading task is cancelled, those who wait for it read themselves.
        started, self._searched_at = monotonic(), 0.0
        try:
            await self.refresh()
            self._search_failed = False
        except MemoryLayerError:
            self._search_failed = True
        self._searched_at = started

    def _take(self, key: StoredKey) -> None:
        # Revoked keys count too: revoking the last key must not open the service to everyone.
        self._required = self._any_stored = True
        if key.revoked:
            self._held.pop(key.prefix, None)
            return
        held, caller = self._held.get(key.prefix), Caller(key.prefix, key.rights, key.rate_limit)
        if held is None or held.caller != caller:
            self._held[key.prefix] = _HeldKey(key.id, key.digest, caller)

    async def _end_idle_period(self) -> None:
        """End the idle period with one read, which all concurrent requests await."""
        async with self._idle_lock:
            if not self._idle:
                return
            try:
                async with asyncio.timeout(WAKE_TIMEOUT_SECONDS):
                    await self.refresh()
            except (MemoryLayerError, TimeoutError) as error:
                logger.debug("keys_not_read", reason=str(error))
            self._idle = False

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(POLL_SECONDS)
            try:
                self._idle |= monotonic() - self._last_request_at >= REST_AFTER_SECONDS
                if not self._idle:
                    await self.refresh()
                await self._note_uses_in_time()
            except MemoryLayerError as error:
                logger.debug("keys_not_read", reason=error.message)
            except Exception:
                # Polling must survive every error: otherwise this replica would see no more revocations.
                logger.exception("keys_not_followed")

    async def _note_uses_in_time(self) -> None:
        if monotonic() - self._uses_noted >= NOTE_USES_SECONDS:
            self._uses_noted = monotonic()
            await self.note_uses()
