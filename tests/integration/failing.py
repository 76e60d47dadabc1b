"""Embedding providers that fail in every way that the worker must live with."""

import asyncio
from collections.abc import Sequence

from deployments.errors import EmbeddingError, EmbeddingRejectedError, EmbeddingUnavailableError
from deployments.schemas.vectors import Vectors
from tests.integration.shared_provider import shared_provider


class Scripted:
    """The local provider, which fails with what is scripted, once for each, before it works again."""

    def __init__(self, *script: EmbeddingError) -> None:
        self._local = shared_provider()
        self.script = list(script)
        self.documents: list[list[str]] = []
        self.queries: list[list[str]] = []

    async def embed_documents(self, texts: Sequence[str]) -> Vectors:
        """Fail or embed."""
        self.documents.append(list(texts))
        if self.script:
            raise self.script.pop(0)
        return await self._local.embed_documents(texts)

    async def embed_queries(self, texts: Sequence[str]) -> Vectors:
        """Fail or embed."""
        self.queries.append(list(texts))
        if self.script:
            raise self.script.pop(0)
        return await self._local.embed_queries(texts)

    async def close(self) -> None:
        """Give back the thread."""
        await self._local.close()


class Away(Scripted):
    """Away until it is told to be back."""

    def __init__(self) -> None:
        super().__init__()
        self.back = False

    async def embed_documents(self, texts: Sequence[str]) -> Vectors:
        """Embed, if it is back."""
        self.script = [] if self.back else [EmbeddingUnavailableError("The provider is away.")]
        return await super().embed_documents(texts)

    async def embed_queries(self, texts: Sequence[str]) -> Vectors:
        """Embed, if it is back."""
        self.script = [] if self.back else [EmbeddingUnavailableError("The provider is away.")]
        return await super().embed_queries(texts)


class Squeamish(Scripted):
    """Refuses every batch with a text that holds the word `forbidden`."""

    async def embed_documents(self, texts: Sequence[str]) -> Vectors:
        """Embed, unless one is forbidden."""
        self._look_at(texts)
        return await super().embed_documents(texts)

    async def embed_queries(self, texts: Sequence[str]) -> Vectors:
        """Embed, unless one is forbidden."""
        self._look_at(texts)
        return await super().embed_queries(texts)

    def _look_at(self, texts: Sequence[str]) -> None:
        if any("forbidden" in text for text in texts):
            self.script = [EmbeddingRejectedError("The text is not allowed.")]


class Slow(Scripted):
    """Does not answer before it is told to; says when it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = asyncio.Event()
        self.answer = asyncio.Event()

    async def embed_documents(self, texts: Sequence[str]) -> Vectors:
        """Wait, then embed."""
        self.asked.set()
        await self.answer.wait()
        return await super().embed_documents(texts)


class Silent(Scripted):
    """Never answers a query."""

    async def embed_queries(self, texts: Sequence[str]) -> Vectors:
        """Wait for ever."""
        self.queries.append(list(texts))
        await asyncio.Event().wait()
        raise AssertionError


class Misfit(Scripted):
    """Its vectors have fewer dimensions than the database keeps."""

    async def embed_documents(self, texts: Sequence[str]) -> Vectors:
        """Embed, and cut."""
        return (await super().embed_documents(texts))[:, :128]


class Faulty(Scripted):
    """Raises what no provider should."""

    async def embed_documents(self, texts: Sequence[str]) -> Vectors:
        """Fail by mistake."""
        self.documents.append(list(texts))
        raise ZeroDivisionError
