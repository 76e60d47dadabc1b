"""Types of embeddings: vectors, and the spaces that they belong to."""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float32]
Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True)
class EmbeddingSpace:
    """An embedding space. Vectors are comparable only with the same model and number of dimensions."""

    model: str
    dimensions: int


class ProviderName(StrEnum):
    """The embedding providers."""

    LOCAL = "local"
    E5 = "e5"
    GOOGLE_GEMINI = "google_gemini"
    OPENAI_COMPATIBLE = "openai_compatible"


@dataclass(frozen=True)
class SpaceSource:
    """A space, and the provider of its vectors.

    `base_url`: of an OpenAI-compatible server, or None to use the settings.
    """

    provider: ProviderName
    space: EmbeddingSpace
    base_url: str | None = None


@dataclass(frozen=True)
class QueryVector:
    """A query's unit vector of shape (dimensions,), and its space."""

    space: EmbeddingSpace
    values: Vector


@dataclass(frozen=True)
class DocumentVectors:
    """Unit vectors of texts, in order, of shape (len(texts), dimensions), in one space or two."""

    space: EmbeddingSpace
    values: Vectors
    other_space: EmbeddingSpace | None = None
    other_values: Vectors | None = None
