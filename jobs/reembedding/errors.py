"""The error of a re-embedding."""

from deployments.errors import MemoryLayerError


class ReembeddingError(MemoryLayerError):
    """The re-embedding cannot be done, or not now: one line that says why, and what to do."""

    code = "reembedding_error"
