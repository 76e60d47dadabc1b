"""Checks the Redis that counts rate limits, if one is set."""

from time import perf_counter

from limits import parse

from deployments.errors import UnavailableError
from deployments.rate_limits.counter import Take
from deployments.rate_limits.redis_counter import RedisCounter
from jobs.doctor.findings import Finding, problem, well

CHECK = "redis"
TIMEOUT_SECONDS = 2.0
OWN_KEY = "doctor"


async def counts(url: str) -> list[Finding]:
    """Check that it answers and increments a counter, under a key of its own that expires after a second."""
    counter = RedisCounter(url, TIMEOUT_SECONDS)
    started = perf_counter()
    try:
        await counter.ping()
        (grant,) = await counter.take_many([Take(parse("1000/second"), OWN_KEY, 1, 1)])
    except UnavailableError as error:
        reason = (error.details or {}).get("reason", "")
        said = f"{error.message.rstrip('.')} ({reason})."
        return [problem(CHECK, said, "Check MEMORY_REDIS_URL and Redis: until then each replica counts for itself.")]
    finally:
        await counter.close()
    if not grant.granted:
        return [problem(CHECK, "It answers, but does not count.", "See whether its memory is full (maxmemory).")]
    return [well(CHECK, f"It answers and counts, in {(perf_counter() - started) * 1e3:,.0f} ms.")]
