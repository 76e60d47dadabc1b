"""What is counted of each tenant, held against a recount of its messages."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import asyncpg
import numpy as np

if TYPE_CHECKING:
    from tests.integration.service import Service

RECORDED = """
    SELECT tenant_id, messages, term_count, embedded, summed, embedding_sum::real[] AS embedding_sum
    FROM tenant_statistics
"""
THERE = """
    SELECT tenant_id, count(*) FILTER (WHERE counted) AS messages,
           coalesce(sum(length) FILTER (WHERE counted), 0) AS term_count,
           count(embedding) AS embedded, count(embedding) FILTER (WHERE indexed) AS summed,
           (sum(embedding::vector) FILTER (WHERE indexed))::real[] AS embedding_sum
    FROM messages, LATERAL (
        SELECT NOT archived AND embedding_status <> 'pending' AS counted,
               (SELECT coalesce(sum(cardinality(array_positions(coalesce(weights, '{D}'), 'D'))), 0)
                FROM unnest(terms)) AS length
    ) AS m
    GROUP BY tenant_id
"""
TERMS_RECORDED = "SELECT tenant_id, term, messages FROM tenant_terms"
TERMS_THERE = """
    SELECT tenant_id, lexeme AS term, count(*) AS messages FROM messages, unnest(terms)
    WHERE indexed AND NOT archived AND embedding_status <> 'pending' GROUP BY tenant_id, lexeme
"""
MAKE_LARGE = "INSERT INTO large_tenants (tenant_id, state) SELECT unnest($1::text[]), 'ready'"
# Vectors have 256 numbers of about 1/16; what is lost in adding and taking off thousands is far below.
TOLERANCE = 1e-3


class Counted(NamedTuple):
    """What is counted of a tenant."""

    messages: int
    term_count: int
    embedded: int


async def recount(connection: Any) -> dict[str, Counted]:
    """What is recorded of each tenant with anything to count, which must be what is there."""
    recorded = {row["tenant_id"]: row for row in await connection.fetch(RECORDED)}
    there = {row["tenant_id"]: row for row in await connection.fetch(THERE)}
    counted = _not_empty(recorded)
    assert counted == _not_empty(there)
    for tenant_id, row in recorded.items():
        _same_sum(row, there.get(tenant_id))
        assert row["summed"] == (there[tenant_id]["summed"] if tenant_id in there else 0)
    terms_recorded, terms_there = [
        {(row["tenant_id"], row["term"]): row["messages"] for row in await connection.fetch(query)}
        for query in (TERMS_RECORDED, TERMS_THERE)
    ]
    assert terms_recorded == terms_there
    return counted


async def recounted(service: "Service") -> dict[str, Counted]:
    """The same, of a service's database."""
    async with service.database.connection() as connection:
        return await recount(connection)


async def recount_at(url: str) -> dict[str, Counted]:
    """The same, of a database."""
    connection = await asyncpg.connect(url)
    try:
        return await recount(connection)
    finally:
        await connection.close()


async def make_large(service: "Service", *tenant_ids: str) -> None:
    """Have all that is stored for tenants from now on indexed, and its terms counted."""
    await execute(service, MAKE_LARGE, list(tenant_ids))


async def holders(service: "Service", tenant_id: str, *terms: str) -> list[int]:
    """How many of a tenant's counted messages hold each term."""
    async with service.database.connection() as connection:
        rows = await connection.fetch("SELECT term, messages FROM tenant_terms WHERE tenant_id = $1", tenant_id)
    counts = {row["term"]: row["messages"] for row in rows}
    return [counts.get(term, 0) for term in terms]


async def execute(service: "Service", statement: str, *parameters: object) -> None:
    """Run a statement behind the service's back, as an operator does."""
    async with service.database.connection() as connection:
        await connection.execute(statement, *parameters)


def _not_empty(rows: Mapping[str, Any]) -> dict[str, Counted]:
    counts = {
        tenant_id: Counted(row["messages"], int(row["term_count"]), row["embedded"]) for tenant_id, row in rows.items()
    }
    return {tenant_id: counted for tenant_id, counted in counts.items() if any(counted)}


def _same_sum(recorded: Any, there: Any) -> None:
    expected = there and there["embedding_sum"]
    if expected is None:
        assert recorded["embedding_sum"] is None
    else:
        assert np.abs(np.array(recorded["embedding_sum"]) - np.array(expected)).max() < TOLERANCE
