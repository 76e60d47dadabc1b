"""A database that plans what it is asked, in place of doing it."""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

from deployments.storage.postgres.database import Database

Plan = dict[str, Any]


class ExplainingDatabase(Database):
    """Plans every query of a repository, with its own parameters and under the session's own settings."""

    plan: Plan

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Any]:
        """A connection that explains."""
        async with super().connection() as connection:
            yield _Explaining(self, connection)


class _Explaining:
    def __init__(self, database: ExplainingDatabase, connection: Any) -> None:
        self._database = database
        self._connection = connection

    async def fetch(self, query: str, *parameters: object) -> list[Any]:
        explained = await self._connection.fetchval(f"EXPLAIN (FORMAT JSON) {query}", *parameters)
        self._database.plan = json.loads(explained)[0]["Plan"]
        return []

    async def fetchrow(self, query: str, *parameters: object) -> None:
        await self.fetch(query, *parameters)

    def transaction(self, **options: Any) -> Any:
        return self._connection.transaction(**options)

    async def fetchval(self, query: str, *parameters: object) -> Any:
        if "set_config" in query:
            return await self._connection.fetchval(query, *parameters)
        await self.fetch(query, *parameters)
        return 1


def nodes(plan: Plan) -> Iterator[Plan]:
    """A plan's nodes that would run: a branch that a constant rules out has none."""
    if plan["Node Type"] == "Result" and plan.get("One-Time Filter") == "false":
        return
    yield plan
    for child in plan.get("Plans", []):
        yield from nodes(child)


def indexes(plan: Plan) -> set[str]:
    """The indexes that a plan uses."""
    return {node["Index Name"] for node in nodes(plan) if "Index Name" in node}


def scanned(plan: Plan) -> set[str]:
    """The tables that a plan reads from end to end."""
    return {node["Relation Name"] for node in nodes(plan) if node["Node Type"] == "Seq Scan"}
