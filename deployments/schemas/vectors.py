"""Types of embeddings: vectors, and the spaces in which they mean anything."""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float32]
Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True)
class EmbeddingSpace:
    """What makes vectors comparable: the same model, and the same number of dimensions."""

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
    """A space, and where its vectors come from.

    `base_url`: of an OpenAI-compatible server; None: as the settings say.
    """

    provider: ProviderName
    space: EmbeddingSpace
    base_url: str | None = None


@dataclass(frozen=True)
class QueryVector:
    """A query's unit vector of shape (dimensions,), and the space in which alone it means anything."""

    space: EmbeddingSpace
    values: Vector


@dataclass(frozen=True)
class DocumentVectors:
    """Unit vectors of texts, in their order, of shape (len(texts), dimensions), in one space or in two."""

    space: EmbeddingSpace
    values: Vectors
    other_space: EmbeddingSpace | None = None
    other_values: Vectors | None = None
