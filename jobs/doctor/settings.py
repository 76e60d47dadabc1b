"""The settings: those that make no sense, alone or together, and names that nothing reads."""

from collections.abc import Iterator, Mapping
from difflib import get_close_matches

from deployments.settings import INTERNAL_NAMES, Environment, ProviderName, Settings, all_problems, known_names
from jobs.doctor.findings import Finding, problem, warning, well

SHORTEST_LEASE_SECONDS = 5.0


def valid(environment: Mapping[str, str]) -> list[Finding]:
    """Every setting by itself, and every name."""
    findings = [problem("settings", said, "Set it right: .env.example shows each setting.") for said in all_problems()]
    findings += list(_unknown(environment))
    return findings or [well("settings", "Every MEMORY_* setting is known and makes sense.")]


def _unknown(environment: Mapping[str, str]) -> Iterator[Finding]:
    known = known_names()
    for name in sorted(set(environment) - known - INTERNAL_NAMES):
        if not name.startswith("MEMORY_"):
            continue
        near = get_close_matches(name, known, n=1)
        advice = f"Did you mean {near[0]}?" if near else "Remove it: .env.example shows each setting."
        yield warning("settings", f"{name} is no setting of this version: it has no effect.", advice)


def together(settings: Settings) -> list[Finding]:
    """Settings that each make sense, and together do not."""
    found = [
        warning("settings.together", said, advice)
        for applies, said, advice in _combinations(settings)
        if applies
    ]  # fmt: skip
    return found or [well("settings.together", "The settings fit each other.")]


def _combinations(settings: Settings) -> list[tuple[bool, str, str]]:
    database, embedding, http = settings.database, settings.embedding, settings.http
    production = settings.runtime.environment is Environment.PRODUCTION
    unkeyed = embedding.provider is ProviderName.OPENAI_COMPATIBLE and settings.openai.api_key is None
    return [
        (
            database.read_url is not None and database.url is None,
            (
                "MEMORY_DATABASE_READ_URL is set, but MEMORY_DATABASE_URL is not: searches read another database than "
                "the embedded one that is written."
            ),
            "Set both, or neither.",
        ),
        (
            embedding.retry_base_seconds > embedding.retry_max_seconds,
            "MEMORY_EMBEDDING_RETRY_BASE_SECONDS is above MEMORY_EMBEDDING_RETRY_MAX_SECONDS, which always wins.",
            "Raise the maximum, or lower the base.",
        ),
        (
            embedding.lease_seconds < SHORTEST_LEASE_SECONDS,
            (
                f"MEMORY_EMBEDDING_LEASE_SECONDS is below {SHORTEST_LEASE_SECONDS:.0f} s: a worker that pauses for that "
                "long loses its messages to another, and they are embedded twice."
            ),
            "Leave it at its default of 30.",
        ),
        (
            settings.search.embedding_timeout_seconds >= http.request_timeout_seconds,
            (
                "MEMORY_SEARCH_EMBEDDING_TIMEOUT_SECONDS is not below MEMORY_REQUEST_TIMEOUT_SECONDS: a search whose "
                "embedding is slow ends in 504, and never goes on by words alone."
            ),
            "Lower the first, which is 2 by default.",
        ),
        (
            unkeyed and "api.openai.com" in settings.openai.base_url,
            "MEMORY_EMBEDDING_PROVIDER=openai_compatible asks OpenAI itself, without MEMORY_OPENAI_API_KEY.",
            "Set the key, or MEMORY_OPENAI_BASE_URL to another server.",
        ),
        (
            production and not settings.runtime.metrics_enabled,
            "MEMORY_METRICS_ENABLED=false in production: nobody sees what goes wrong.",
            "Leave it on, and keep /metrics off the public network.",
        ),
    ]
