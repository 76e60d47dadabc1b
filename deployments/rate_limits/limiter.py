"""Rate limits of client addresses, tenants and keys, and the check of a request against them."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network
from math import ceil

from deployments.errors import RateLimitedError
from deployments.rate_limits.counter import Grant, Take, TakeMany, WindowCounter
from deployments.rate_limits.fallback import FallbackCounter
from deployments.rate_limits.leases import Counted, Leases, LimitStatus
from deployments.rate_limits.memory_storage import BoundedMemoryStorage
from deployments.runtime.capacity import Batches
from deployments.runtime.micro_batcher import MicroBatcher
from deployments.schemas.rate_limits import rates_in
from deployments.settings import RateLimitSettings

# An IPv6 client usually owns a whole /64, so the limit counts networks of this prefix.
IPV6_PREFIX_BITS = 64


class Kind(StrEnum):
    """The kind of client that a limit applies to."""

    GLOBAL = "global"
    TENANT = "tenant"
    KEY = "key"


WORDS = {Kind.GLOBAL: "this client address", Kind.TENANT: "this tenant", Kind.KEY: "this key"}


@dataclass(frozen=True)
class LimitCounts:
    """Callbacks for the metrics: a limit refused a request; this replica counted takes locally."""

    refused: Callable[[str], None] = lambda _kind: None
    fell_back: Callable[[int], None] = lambda _takes: None


class RateLimiter:
    """The limits of one ingress replica."""

    def __init__(
        self, settings: RateLimitSettings, shared: TakeMany, calls: Batches, counts: LimitCounts | None = None
    ) -> None:
        """`shared`: the counter of all replicas. `calls`: how takes are batched on their way to it."""
        self._settings = settings
        self._counts = counts or LimitCounts()
        counter = FallbackCounter(shared, WindowCounter(BoundedMemoryStorage()).take_many, self._counts.fell_back)
        batcher: MicroBatcher[Take, Grant] = MicroBatcher(
            counter.take_many, max_batch=calls.size, slots=calls.slots, max_waiting=calls.waiting
        )
        self._leases = Leases(batcher.submit)

    def of_address(self, address: str) -> tuple[Counted, ...]:
        """Return the limits of a client address."""
        return _counted(Kind.GLOBAL, network_of(address), self._settings.global_rate_limit)

    def of_tenant(self, tenant_id: str) -> tuple[Counted, ...]:
        """Return the limits of a tenant."""
        return _counted(Kind.TENANT, tenant_id, self._settings.tenant_rate_limit)

    def of_key(self, prefix: str, own: str | None) -> tuple[Counted, ...]:
        """Return the limits of an API key: its own, or else those of the settings."""
        return _counted(Kind.KEY, prefix, own or self._settings.key_rate_limit)

    async def take(self, limits: Sequence[Counted]) -> list[LimitStatus]:
        """Take one request from each limit, or from none if one of them has none left. Return their statuses."""
        return await self._leases.take(limits)

    def note_refusal(self, status: LimitStatus) -> None:
        """Count a request that a limit refused."""
        self._counts.refused(status.counted.kind)


class Admission:
    """Takes one request's limits, each at most once however often they are checked."""

    def __init__(self, limiter: RateLimiter) -> None:
        self._limiter = limiter
        self._taken: set[str] = set()
        self.tightest: LimitStatus | None = None

    async def admit(self, limits: Iterable[Counted]) -> None:
        """Take one request from each limit. Raises `RateLimitedError` if one has none left."""
        new = [limit for limit in limits if limit.key not in self._taken]
        if not new:
            return
        statuses = await self._limiter.take(new)
        self._taken.update(limit.key for limit in new)
        if self.tightest is not None:
            statuses.append(self.tightest)
        self.tightest = min(statuses, key=_tightness)
        if not self.tightest.passes:
            self._limiter.note_refusal(self.tightest)
            raise _refusal(self.tightest)

    async def admit_tenants(self, tenant_ids: Iterable[str]) -> None:
        """Take one request from each limit of the tenants. Raises `RateLimitedError`."""
        await self.admit([limit for tenant_id in tenant_ids for limit in self._limiter.of_tenant(tenant_id)])


def _tightness(status: LimitStatus) -> tuple[bool, float]:
    """Return a sort key: refusing limits first, the longest refusal first; then those with the least left."""
    return status.passes, status.remaining if status.passes else -status.resets_in


def _refusal(status: LimitStatus) -> RateLimitedError:
    kind, rate = Kind(status.counted.kind), str(status.counted.rate)
    message = f"Too many requests of {WORDS[kind]}: it may make {rate}."
    return RateLimitedError(message, {"limit": kind.value, "rate": rate}, float(max(ceil(status.resets_in), 1)))


@lru_cache(maxsize=4096)
def _counted(kind: Kind, name: str, text: str | None) -> tuple[Counted, ...]:
    rates = rates_in(text) if text is not None else ()
    return tuple(Counted(kind, rate, rate.key_for(kind, name)) for rate in rates)


@lru_cache(maxsize=4096)
def network_of(address: str) -> str:
    """Return what counts as one client: an IPv4 address, or the network of an IPv6 address."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if not isinstance(parsed, IPv6Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ip_network((parsed.packed, IPV6_PREFIX_BITS), strict=False))
