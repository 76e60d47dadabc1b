"""wordllama: static embeddings with weights inside the package, so that no key and no network is needed."""

import asyncio
import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from deployments.embedding.providers.batches import require_unicode
from deployments.embedding.providers.unit_vectors import unit_rows
from deployments.schemas.vectors import EmbeddingSpace, Vectors


@contextmanager
def _root_logger_left_alone() -> Iterator[None]:
    """Disable `logging.basicConfig` for the block, because wordllama calls it when it is imported.

    It does nothing if the root logger has a handler, so the block adds one.
    """
    placeholder = logging.NullHandler()
    logging.getLogger().addHandler(placeholder)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(placeholder)


with _root_logger_left_alone():
    import wordllama

# A switch to a thread and back costs 0.07 ms, as much as embedding about 500 characters (0.03 ms for 80).
_DIRECT_CHARACTERS = 512
# The model pads all texts of one call to the longest: 63 words beside one text of 32,000 characters took 1.2 GB and
# 2.5 s. Sorted by length, in groups within this limit, they take 9 ms.
_GROUP_CHARACTERS = 16_384
# The longest message with its date and name. A text of 16 MB would need 9 GB.
_TEXT_CHARACTERS = 101_000


class LocalProvider:
    """Embeds with wordllama in this process. Loading takes about 0.4 s.

    A vector is the mean of the text's token vectors, for documents and queries alike. Only the first 101,000
    characters of a text count, which is more than a message has. A text without any token gets a fixed unit vector
    (see `unit_rows`).
    """

    def __init__(self, space: EmbeddingSpace) -> None:
        """Load the weights, truncated to the dimensions, which `embedding_space` has checked."""
        self._dimensions = space.dimensions
        self._model = wordllama.WordLlama.load(
            cache_dir=Path(wordllama.__file__).parent,
            disable_download=True,
            trunc_dim=space.dimensions,
        )
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="wordllama")

    async def embed_documents(self, texts: Sequence[str]) -> Vectors:
        """Embed texts to be stored: shape (len(texts), dimensions), float32, rows of length 1."""
        return await self._embed(texts)

    async def embed_queries(self, texts: Sequence[str]) -> Vectors:
        """Embed search queries: shape (len(texts), dimensions), float32, rows of length 1."""
        return await self._embed(texts)

    async def close(self) -> None:
        """Stop the thread."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    async def _embed(self, texts: Sequence[str]) -> Vectors:
        require_unicode(texts)
        clipped = [text[:_TEXT_CHARACTERS] for text in texts]
        if sum(map(len, clipped)) <= _DIRECT_CHARACTERS:
            return self._vectors(clipped)
        return await asyncio.get_running_loop().run_in_executor(self._executor, self._vectors, clipped)

    def _vectors(self, texts: list[str]) -> Vectors:
        means = np.zeros((len(texts), self._dimensions), dtype=np.float32)
        for group in _groups_by_length(texts):
            means[group] = self._model.embed([texts[index] for index in group], batch_size=len(group))
        return unit_rows(means)


def _groups_by_length(texts: list[str]) -> Iterator[list[int]]:
    """Yield the indices of the non-empty texts, shortest first, in groups of bounded padded size."""
    group: list[int] = []
    for index in sorted(range(len(texts)), key=lambda index: len(texts[index])):
        if not texts[index]:
            continue
        if group and (len(group) + 1) * len(texts[index]) > _GROUP_CHARACTERS:
            yield group
            group = []
        group.append(index)
    if group:
        yield group
