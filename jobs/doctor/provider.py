"""Checks the embedding provider by embedding one text."""

from time import perf_counter

from deployments.embedding.providers.registry import create_provider
from deployments.embedding_space import settings_for
from deployments.errors import ConfigurationError, EmbeddingError
from deployments.schemas.vectors import ProviderName, SpaceSource
from deployments.settings import Settings
from jobs.doctor.findings import Finding, problem, warning, well

CHECK = "provider"
SLOW_SECONDS = 2.0


async def embeds(settings: Settings, source: SpaceSource) -> list[Finding]:
    """Check that it returns vectors of the active space in time. May cost a paid call."""
    advice = "Check the provider's settings in .env.example, and whether it is reached from here."
    try:
        provider = create_provider(settings_for(settings, source), 1)
    except ConfigurationError as error:
        return [problem(CHECK, error.message, advice)]
    try:
        started = perf_counter()
        await provider.embed_queries(["ping"])
        seconds = perf_counter() - started
    except EmbeddingError as error:
        return [problem(CHECK, error.message, advice)]
    finally:
        await provider.close()
    model = f"{source.space.model} with {source.space.dimensions} dimensions"
    said = f"{source.provider} embeds with {model}, in {seconds * 1e3:,.0f} ms."
    if seconds > SLOW_SECONDS and source.provider is not ProviderName.LOCAL:
        slow = "Searches wait MEMORY_SEARCH_EMBEDDING_TIMEOUT_SECONDS, and then go by words alone."
        return [warning(CHECK, said, slow)]
    return [well(CHECK, said)]
