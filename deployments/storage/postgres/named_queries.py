"""The named queries of `queries/*.sql`."""

from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager
from functools import lru_cache
from importlib.resources import files
from typing import Any

import aiosql
from aiosql.adapters.asyncpg import AsyncPGAdapter
from opentelemetry.trace import Span, SpanKind

from deployments.tracing.spans import is_tracing, span

# The cache size for parsed files, by file and literals. Parsing one takes 1 to 2 ms.
_KEPT = 512


class Sql(str):
    """SQL text of our code and of parameters. It contains nothing from a client."""

    __slots__ = ()


def load_queries(name: str, **literals: int | Sql) -> Any:
    """Return the queries of one file, as async functions of a connection and named parameters.

    `literals` replace `{placeholders}` where SQL needs a constant or allows no parameters, as for conditions. Only
    numbers and `Sql` are allowed, so that nothing can be injected.
    If tracing is on, each query has a span with its name and without its parameters.
    """
    return _load(name, is_tracing(), **literals)


@lru_cache(_KEPT)
def _load(name: str, traced: bool, **literals: int | Sql) -> Any:
    text = files("deployments.storage").joinpath("queries", f"{name}.sql").read_text(encoding="utf-8")
    for placeholder, value in literals.items():
        text = text.replace(f"{{{placeholder}}}", value if isinstance(value, Sql) else str(int(value)))
    adapter: Any = _TracedAdapter if traced else AsyncPGAdapter
    return aiosql.from_str(text, adapter, mandatory_parameters=False)


class _TracedAdapter:
    """aiosql's adapter, with a span around each of the operations that `queries/*.sql` use."""

    is_aio_driver = True

    def __init__(self) -> None:
        self._plain: Any = AsyncPGAdapter()  # type: ignore[no-untyped-call]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._plain, name)

    async def select(self, conn: Any, query_name: str, *rest: Any) -> AsyncIterator[Any]:
        with _query(query_name) as asked:
            rows = [row async for row in self._plain.select(conn, query_name, *rest)]
            asked.set_attribute("db.response.returned_rows", len(rows))
        for row in rows:
            yield row

    @asynccontextmanager
    async def select_cursor(self, conn: Any, query_name: str, *rest: Any) -> AsyncIterator[Any]:
        with _query(query_name):
            async with self._plain.select_cursor(conn, query_name, *rest) as cursor:
                yield cursor

    async def select_one(self, conn: Any, query_name: str, *rest: Any) -> Any:
        with _query(query_name):
            return await self._plain.select_one(conn, query_name, *rest)

    async def select_value(self, conn: Any, query_name: str, *rest: Any) -> Any:
        with _query(query_name):
            return await self._plain.select_value(conn, query_name, *rest)

    async def insert_update_delete(self, conn: Any, query_name: str, *rest: Any) -> Any:
        with _query(query_name):
            return await self._plain.insert_update_delete(conn, query_name, *rest)


def _query(name: str) -> AbstractContextManager[Span]:
    return span(name, SpanKind.CLIENT, {"db.system.name": "postgresql", "db.query.summary": name})
