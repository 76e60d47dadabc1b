"""Services with nothing behind them, for what is tested of the application alone."""

from dataclasses import fields
from typing import Any

from deployments.rate_limits.counter import WindowCounter
from deployments.rate_limits.limiter import RateLimiter
from deployments.rate_limits.memory_storage import BoundedMemoryStorage
from deployments.runtime.capacity import Batches
from deployments.runtime.liveness import Liveness
from deployments.settings import HttpSettings, RateLimitSettings
from serve_app.services import Services


def bare_services(http: HttpSettings | None = None, **given: object) -> Services:
    """Nothing but what is given, and a limiter that limits nothing."""
    nothing: dict[str, Any] = dict.fromkeys(field.name for field in fields(Services))
    return Services(
        **nothing | {"http": http or HttpSettings(), "limiter": _unlimited(), "liveness": Liveness()} | given
    )


def _unlimited() -> RateLimiter:
    """With no limit set, whatever the environment says."""
    settings = RateLimitSettings.model_construct()
    return RateLimiter(settings, WindowCounter(BoundedMemoryStorage()).take_many, Batches(size=1, slots=1, waiting=1))
