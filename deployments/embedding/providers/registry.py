"""Creation of the embedding provider that the settings name."""

from deployments.embedding.providers.deadline import OnRetry, unheard
from deployments.embedding.providers.e5 import E5Provider
from deployments.embedding.providers.protocol import EmbeddingProvider
from deployments.embedding_space import embedding_space
from deployments.schemas.vectors import ProviderName
from deployments.settings import Settings


def create_provider(settings: Settings, requests_in_flight: int = 4, on_retry: OnRetry = unheard) -> EmbeddingProvider:
    """Create the provider that the settings name. It belongs to one event loop; the caller closes it.

    `requests_in_flight`: the maximum of concurrent HTTP requests. `on_retry` is called for each retried request.
    In-process providers use neither.
    Raises `ConfigurationError` for a missing key or package and for dimensions that are unknown or impossible.
    """
    space, timeout = embedding_space(settings), settings.embedding.timeout_seconds
    # Imported lazily: each provider's library takes up to a second and 50 MB to import.
    match settings.embedding.provider:
        case ProviderName.LOCAL:
            from deployments.embedding.providers.local import LocalProvider  # noqa: PLC0415

            return LocalProvider(space)
        case ProviderName.E5:
            return E5Provider(space)
        case ProviderName.GOOGLE_GEMINI:
            from deployments.embedding.providers.google_gemini import GoogleGeminiProvider  # noqa: PLC0415

            return GoogleGeminiProvider(
                settings.gemini,
                space,
                timeout_seconds=timeout,
                requests_in_flight=requests_in_flight,
                on_retry=on_retry,
            )
        case ProviderName.OPENAI_COMPATIBLE:
            from deployments.embedding.providers.openai_compatible import OpenAICompatibleProvider  # noqa: PLC0415

            return OpenAICompatibleProvider(
                settings.openai,
                space,
                timeout_seconds=timeout,
                send_dimensions=settings.embedding.dimensions is not None,
                requests_in_flight=requests_in_flight,
                on_retry=on_retry,
            )
