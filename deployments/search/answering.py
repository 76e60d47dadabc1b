"""Answers searches and contexts as JSON, split so that each part fits into one call between replicas."""

from collections.abc import AsyncIterator, Sequence

from deployments.errors import MemoryLayerError
from deployments.runtime.call_bytes import fit_together, parts
from deployments.search.context.assembler import Context, ContextAssembler
from deployments.search.engine import SearchEngine
from deployments.search.plans import Search
from deployments.search.side_by_side import to_json


class Answering:
    """Answers several searches or contexts in one call, or one large answer in parts."""

    def __init__(self, engine: SearchEngine, contexts: ContextAssembler) -> None:
        self._engine = engine
        self._contexts = contexts

    async def search_many(self, searches: Sequence[Search]) -> list[bytes | int | MemoryLayerError]:
        """Return the JSON of a `SearchAnswer`, or an error, for each search, in order.

        An int replaces a large answer where all answers together exceed the size of one call: its size in bytes.
        The caller then fetches that answer with `search_alone`.
        """
        return fit_together(to_json(await self._engine.search_many(searches)))

    async def search_alone(self, search: Search) -> AsyncIterator[bytes | MemoryLayerError]:
        """Yield the JSON of a `SearchAnswer` in parts, or an error."""
        (answer,) = to_json(await self._engine.search_many([search]))
        for part in parts(answer):
            yield part

    async def assemble_many(self, contexts: Sequence[Context]) -> list[bytes | int | MemoryLayerError]:
        """Return the JSON of a `ContextAnswer`, an error, or a size, as `search_many` does."""
        return fit_together(to_json(await self._contexts.assemble_many(contexts)))

    async def assemble_alone(self, context: Context) -> AsyncIterator[bytes | MemoryLayerError]:
        """Yield the JSON of a `ContextAnswer` in parts, or an error."""
        (answer,) = to_json(await self._contexts.assemble_many([context]))
        for part in parts(answer):
            yield part
