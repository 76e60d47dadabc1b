"""What the rate limits do, as metrics of this replica's node: Ray exports them as `ray_rate_limit_...`."""

from ray.util.metrics import Counter

from deployments.rate_limits.limiter import LimitCounts


def limit_counts() -> LimitCounts:
    """Counters of this process. Called once in each ingress replica."""
    refusals = Counter("rate_limit_refusals", "Requests refused, by the limit that refused them", ("limit",))
    fallbacks = Counter("rate_limit_fallback", "Takes that a replica counted by itself, without the shared count")
    return LimitCounts(
        refused=lambda kind: refusals.inc(1, {"limit": kind}),
        fell_back=fallbacks.inc,
    )
