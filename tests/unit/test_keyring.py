"""The keys in memory: how they follow what is stored, and what it costs others when somebody guesses."""

import asyncio
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from structlog.testing import capture_logs

from deployments.errors import ConfigurationError, DatabaseUnavailableError, UnauthorizedError
from deployments.schemas.api_key_format import digest, make_key, prefix_of
from deployments.schemas.api_keys import KeyScope, Rights
from deployments.settings import Settings
from deployments.storage.tenants.api_keys import KeyChanges, StoredKey
from serve_app.edge import keyring
from serve_app.edge.keyring import ANYONE, READ_AGAIN, REFUSED_KEPT, ROOT, Keyring

READ = Rights("acme", frozenset({KeyScope.READ}), None)
MakeRing = Callable[..., Keyring]


@dataclass
class Source:
    """A database of keys: by their text, with the time of their last change."""

    stored: dict[str, tuple[StoredKey, datetime]] = field(default_factory=dict)
    away: bool = False
    hangs: bool = False
    reads: int = 0
    noted: list[Mapping[UUID, datetime]] = field(default_factory=list)

    def add(self, rights: Rights = READ, changed_at: datetime | None = None) -> str:
        made = make_key()
        key = StoredKey(uuid4(), made.prefix, made.digest, rights, revoked=False)
        self.stored[made.text] = key, changed_at or datetime.now(UTC)
        return made.text

    def change(self, text: str, **changes: Any) -> None:
        self.stored[text] = replace(self.stored[text][0], **changes), datetime.now(UTC)

    async def changed_since(self, since: datetime | None) -> KeyChanges:
        self.reads += 1
        await asyncio.sleep(3600 if self.hangs else 0)
        self._answer()
        return KeyChanges([k for k, at in self.stored.values() if since is None or at > since], datetime.now(UTC))

    async def note_uses(self, uses: Mapping[UUID, datetime]) -> None:
        self._answer()
        self.noted.append(uses)

    def _answer(self) -> None:
        if self.away:
            raise DatabaseUnavailableError("Away.")


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
def make_ring(source: Source, monkeypatch: pytest.MonkeyPatch) -> MakeRing:
    """Make a ring under some settings."""

    def make(**environment: str) -> Keyring:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        return Keyring(source, Settings.load())

    return make


async def refused(ring: Keyring, key: str | None) -> bool:
    try:
        await ring.caller(key)
    except UnauthorizedError:
        return True
    return False


def test_a_key_holds_256_random_bits_and_is_found_by_its_prefix() -> None:
    made = make_key()

    assert prefix_of(made.text) == made.prefix
    assert len(made.text) == len(made.prefix) + 1 + 43
    assert made.digest == digest(made.text)
    assert made.text not in repr(made)
    assert prefix_of("prod-key-1") is None
    assert make_key().text != made.text


async def test_a_known_key_costs_no_read(source: Source, make_ring: MakeRing) -> None:
    key, ring = source.add(), make_ring()
    await ring.refresh()

    for _ in range(10):
        caller = await ring.caller(key)

    assert (caller.name, caller.rights) == (prefix_of(key), READ)
    assert source.reads == 1


async def test_a_fresh_key_holds_at_once(source: Source, make_ring: MakeRing) -> None:
    source.add()
    ring = make_ring()
    await ring.refresh()

    assert (await ring.caller(source.add())).rights == READ


async def test_a_revoked_key_holds_until_the_next_read_and_no_longer(source: Source, make_ring: MakeRing) -> None:
    key, ring = source.add(), make_ring()
    await ring.refresh()
    source.change(key, revoked=True)

    await ring.refresh()

    assert await refused(ring, key)


async def test_an_expired_key_is_refused_without_any_read(source: Source, make_ring: MakeRing) -> None:
    key = source.add(replace(READ, expires_at=datetime.now(UTC) + timedelta(seconds=0.5)))
    ring = make_ring()
    assert not await refused(ring, key)
    await asyncio.sleep(0.51)

    assert await refused(ring, key)


async def test_a_change_that_is_committed_late_is_seen(source: Source, make_ring: MakeRing) -> None:
    ring = make_ring(MEMORY_API_KEYS="root")
    await ring.refresh()
    late = source.add(changed_at=datetime.now(UTC) - READ_AGAIN / 2)

    await ring.refresh()

    reads = source.reads
    assert not await refused(ring, late)
    assert source.reads == reads


async def test_the_secret_behind_a_known_prefix_counts(source: Source, make_ring: MakeRing) -> None:
    key, ring = source.add(), make_ring()

    assert await refused(ring, key[:-1] + ("A" if key[-1] != "A" else "B"))
    assert not await refused(ring, key)


async def test_keys_are_compared_in_constant_time(
    source: Source, make_ring: MakeRing, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[tuple[bytes, bytes]] = []

    def compare(left: bytes, right: bytes) -> bool:
        compared.append((left, right))
        return left == right

    monkeypatch.setattr(hmac, "compare_digest", compare)
    key, ring = source.add(), make_ring(MEMORY_API_KEYS="first,second,third")
    await ring.refresh()

    assert await ring.caller("first") is ROOT
    assert {left for left, _ in compared} == {digest("first"), digest("second"), digest("third")}
    compared.clear()
    await ring.caller(key)
    assert compared == [(digest(key), digest(key))]


async def test_a_key_that_was_refused_is_refused_again_without_a_read(source: Source, make_ring: MakeRing) -> None:
    ring, guess = make_ring(MEMORY_API_KEYS="root"), make_key().text
    assert await refused(ring, guess)
    reads = source.reads

    assert await refused(ring, guess)
    assert await refused(ring, "not-even-the-form-of-a-key")
    assert source.reads == reads


async def test_a_thousand_guesses_at_once_cost_a_read_or_two(source: Source, make_ring: MakeRing) -> None:
    ring = make_ring(MEMORY_API_KEYS="root")

    assert all(await asyncio.gather(*(refused(ring, make_key().text) for _ in range(2 * REFUSED_KEPT))))

    assert source.reads <= 2
    assert len(ring._refused) <= REFUSED_KEPT


async def test_without_the_database_known_keys_go_on_and_unknown_ones_are_not_judged(
    source: Source, make_ring: MakeRing
) -> None:
    key, ring = source.add(), make_ring(MEMORY_API_KEYS="root")
    await ring.refresh()
    source.away = True

    assert (await ring.caller(key)).rights == READ
    assert await ring.caller("root") is ROOT
    fresh = source.add()
    with pytest.raises(DatabaseUnavailableError):
        await ring.caller(fresh)
    source.away = False
    assert (await ring.caller(fresh)).rights == READ


async def test_a_database_that_hangs_is_one_that_is_away(
    source: Source, make_ring: MakeRing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keyring, "READ_TIMEOUT_SECONDS", 0.01)
    ring, fresh = make_ring(MEMORY_API_KEYS="root"), source.add()
    source.hangs = True

    with pytest.raises(DatabaseUnavailableError):
        await ring.caller(fresh)
    source.hangs = False
    assert (await ring.caller(fresh)).rights == READ


async def test_who_goes_away_while_keys_are_read_for_all_takes_nobody_along(
    source: Source, make_ring: MakeRing
) -> None:
    ring, fresh = make_ring(MEMORY_API_KEYS="root"), source.add()
    source.hangs = True
    first, second = (asyncio.create_task(ring.caller(fresh)) for _ in range(2))
    await asyncio.sleep(0.01)
    source.hangs = False

    first.cancel()

    assert (await second).rights == READ


async def test_a_ring_that_has_read_nothing_yet_lets_nobody_in(source: Source, make_ring: MakeRing) -> None:
    source.away = True
    ring = make_ring()
    await ring.start()

    with pytest.raises(DatabaseUnavailableError):
        await ring.caller(None)
    await ring.stop()


async def test_without_any_key_development_is_open_with_a_warning(source: Source, make_ring: MakeRing) -> None:
    ring = make_ring()
    with capture_logs() as lines:
        await ring.start()
    await ring.stop()

    assert await ring.caller(None) is ANYONE
    assert [line["log_level"] for line in lines if line["event"] == "open_to_anyone"] == ["warning"]


async def test_as_soon_as_there_is_a_key_one_is_needed_even_after_it_is_revoked(
    source: Source, make_ring: MakeRing
) -> None:
    ring = make_ring()
    assert not await refused(ring, None)
    key = source.add()
    await ring.refresh()
    assert await refused(ring, None)

    source.change(key, revoked=True)
    await ring.refresh()

    assert await refused(ring, None)


async def test_production_without_any_key_does_not_start(make_ring: MakeRing) -> None:
    ring = make_ring(MEMORY_ENVIRONMENT="production")

    with pytest.raises(ConfigurationError, match="MEMORY_API_KEYS"):
        await ring.start()
    assert await refused(ring, None)


@pytest.mark.parametrize("environment", [{}, {"MEMORY_API_KEYS": "root"}])
async def test_production_with_a_key_starts(environment: dict[str, str], source: Source, make_ring: MakeRing) -> None:
    if not environment:
        source.add()
    ring = make_ring(MEMORY_ENVIRONMENT="production", **environment)

    await ring.start()
    await ring.stop()

    assert await refused(ring, None)


async def test_a_ring_follows_what_changes(
    source: Source, make_ring: MakeRing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keyring, "POLL_SECONDS", 0.001)
    key, ring = source.add(), make_ring()
    await ring.start()
    source.away = True
    await asyncio.sleep(0.01)
    source.away = False
    source.change(key, revoked=True)

    async with asyncio.timeout(1):
        while not await refused(ring, key):  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.005)
    await ring.stop()


async def test_a_ring_rests_while_nobody_asks_and_the_first_who_does_meets_what_changed(
    source: Source, make_ring: MakeRing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keyring, "POLL_SECONDS", 0)
    monkeypatch.setattr(keyring, "REST_AFTER_SECONDS", 0)
    key, ring = source.add(), make_ring()
    await ring.start()
    for _ in range(20):
        await asyncio.sleep(0)
    source.change(key, revoked=True)

    assert source.reads == 1
    assert all(await asyncio.gather(refused(ring, key), refused(ring, None)))
    await ring.stop()


@pytest.mark.parametrize("trouble", ["away", "hangs"])
async def test_a_known_key_holds_after_a_rest_while_the_database_does_not_answer(
    trouble: str, source: Source, make_ring: MakeRing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keyring, "POLL_SECONDS", 0)
    monkeypatch.setattr(keyring, "REST_AFTER_SECONDS", 0)
    monkeypatch.setattr(keyring, "WAKE_TIMEOUT_SECONDS", 0.01)
    key, ring = source.add(), make_ring()
    await ring.start()
    for _ in range(20):
        await asyncio.sleep(0)
    setattr(source, trouble, True)

    assert (await ring.caller(key)).rights == READ
    await ring.stop()


async def test_uses_are_noted_together_and_kept_while_the_database_is_away(source: Source, make_ring: MakeRing) -> None:
    first, second, ring = source.add(), source.add(), make_ring()
    for key in (first, second, first):
        await ring.caller(key)
    source.away = True
    with pytest.raises(DatabaseUnavailableError):
        await ring.note_uses()
    source.away = False

    await ring.stop()
    await ring.note_uses()

    assert [set(uses) for uses in source.noted] == [{source.stored[key][0].id for key in (first, second)}]
