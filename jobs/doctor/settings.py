"""Checks the settings: values that are invalid alone or together, and names that nothing reads."""

from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches

from deployments.errors import ConfigurationError
from deployments.schemas.vectors import ProviderName
from deployments.settings import Environment, Settings
from deployments.settings_inspection import all_problems, known_names, unknown_names
from deployments.tracing.variables import wants_tracing
from jobs.doctor.findings import Finding, problem, warning, well

SHORTEST_LEASE_SECONDS = 5.0


def valid(environment: Mapping[str, str]) -> list[Finding]:
    """Check every setting by itself, and every name."""
    findings = [problem("settings", said, "Set it right: .env.example shows each setting.") for said in all_problems()]
    findings += [*_unknown(environment), *_traces(environment)]
    return findings or [well("settings", "Every MEMORY_* setting is known, and they and OTEL_* make sense.")]


def _unknown(environment: Mapping[str, str]) -> Iterator[Finding]:
    for name in unknown_names(environment):
        near = get_close_matches(name, known_names(), n=1)
        advice = f"Did you mean {near[0]}?" if near else "Remove it: .env.example shows each setting."
        yield warning("settings", f"{name} is no setting of this version: it has no effect.", advice)


def _traces(environment: Mapping[str, str]) -> Iterator[Finding]:
    try:
        wants_tracing(environment)
    except ConfigurationError as error:
        yield problem("settings", error.message, "Set it right: docs/tracing.md says what each variable takes.")


def together(settings: Settings) -> list[Finding]:
    """Check settings that are valid alone but conflict with each other."""
    found = [warning("settings.together", said, advice) for applies, said, advice in COMBINATIONS if applies(settings)]
    return found or [well("settings.together", "The settings fit each other.")]


def _asks_openai_without_a_key(settings: Settings) -> bool:
    if settings.embedding.provider is not ProviderName.OPENAI_COMPATIBLE:
        return False
    return settings.openai.api_key is None and "api.openai.com" in settings.openai.base_url


def _is_unseen(settings: Settings) -> bool:
    return settings.runtime.environment is Environment.PRODUCTION and not settings.runtime.metrics_enabled


# The condition, what is wrong, and what to do.
COMBINATIONS: tuple[tuple[Callable[[Settings], bool], str, str], ...] = (
    (
        lambda s: s.database.read_url is not None and s.database.url is None,
        "MEMORY_DATABASE_READ_URL without MEMORY_DATABASE_URL: searches read what is never written.",
        "Set both, or neither.",
    ),
    (
        lambda s: s.embedding.retry_base_seconds > s.embedding.retry_max_seconds,
        "MEMORY_EMBEDDING_RETRY_BASE_SECONDS is above MEMORY_EMBEDDING_RETRY_MAX_SECONDS, which always wins.",
        "Raise the maximum, or lower the base.",
    ),
    (
        lambda s: s.embedding.lease_seconds < SHORTEST_LEASE_SECONDS,
        (
            f"MEMORY_EMBEDDING_LEASE_SECONDS is below {SHORTEST_LEASE_SECONDS:.0f}: messages are embedded twice when a "
            "worker pauses for that long."
        ),
        "Leave it at its default of 30.",
    ),
    (
        lambda s: s.search.embedding_timeout_seconds >= s.http.request_timeout_seconds,
        (
            "MEMORY_SEARCH_EMBEDDING_TIMEOUT_SECONDS is not below MEMORY_REQUEST_TIMEOUT_SECONDS: searches never go on "
            "by words alone, and end in 504."
        ),
        "Lower the first, which is 2 by default.",
    ),
    (
        _asks_openai_without_a_key,
        "MEMORY_EMBEDDING_PROVIDER=openai_compatible asks OpenAI itself, without MEMORY_OPENAI_API_KEY.",
        "Set the key, or MEMORY_OPENAI_BASE_URL to another server.",
    ),
    (
        _is_unseen,
        "MEMORY_ENVIRONMENT=production with MEMORY_METRICS_ENABLED=false: nobody sees what goes wrong.",
        "Leave the metrics on, and keep /metrics off the public network.",
    ),
)
