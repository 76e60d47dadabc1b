"""A limiter that limits nothing, for what is made without a service behind it."""

from deployments.capacity import Batches
from deployments.rate_limits.counter import WindowCounter
from deployments.rate_limits.limiter import RateLimiter
from deployments.rate_limits.memory_storage import BoundedMemoryStorage
from deployments.settings import RateLimitSettings


def unlimited() -> RateLimiter:
    """With no limit set, whatever the environment says."""
    settings = RateLimitSettings.model_construct()
    return RateLimiter(settings, WindowCounter(BoundedMemoryStorage()).take_many, Batches(size=1, slots=1, waiting=1))
