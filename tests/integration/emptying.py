"""Empty a test's database for the next test: it takes milliseconds, and a new copy of the template 50 to 200."""

import asyncpg

# Each change of a schema, and each ANALYZE and VACUUM, is in the numbers of one of these.
CATALOG = """
SELECT array_agg(state) FROM (
    SELECT (count(*), sum(xmin::text::bigint), sum(reltuples), sum(relpages))::text AS state FROM pg_class
    UNION ALL SELECT (count(*), sum(xmin::text::bigint))::text FROM pg_attribute
    UNION ALL SELECT (count(*), sum(xmin::text::bigint))::text FROM pg_constraint
    UNION ALL SELECT (count(*), sum(xmin::text::bigint))::text FROM pg_index
    UNION ALL SELECT (count(*), sum(xmin::text::bigint))::text FROM pg_proc
    UNION ALL SELECT (count(*), sum(xmin::text::bigint))::text FROM pg_trigger
    UNION ALL SELECT (count(*), sum(xmin::text::bigint))::text FROM pg_type
    UNION ALL SELECT (count(*), sum(xmin::text::bigint))::text FROM pg_extension
    UNION ALL SELECT (count(*), sum(xmin::text::bigint))::text FROM pg_statistic
    UNION ALL SELECT count(*)::text FROM pg_db_role_setting
) AS states
"""
TABLES = "SELECT oid::regclass::text FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
# Deleted rows stay in an HNSW index, and hide from a walk what is stored later: a file that is not empty is truncated.
TOUCHED = f"{TABLES} AND pg_relation_size(oid) > 0"
# They end before this returns.
END_OTHERS = """
SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
"""

Rows = dict[str, str]


async def catalog(connection: asyncpg.Connection) -> list[str]:
    """Return what differs after any change of the schema or of the planner's statistics."""
    states: list[str] = await connection.fetchval(CATALOG)
    return states


async def rows(connection: asyncpg.Connection) -> Rows:
    """Return the rows of each table that has any, as JSON."""
    tables = [row[0] for row in await connection.fetch(TABLES)]
    found = {table: await _rows_of(connection, table) for table in tables}
    return {table: each for table, each in found.items() if each != "[]"}


async def empty(connection: asyncpg.Connection, constant: Rows) -> None:
    """Leave the rows that a migrated database has, `constant`, and no other. Ends all other connections."""
    await connection.execute(END_OTHERS)
    touched = [row[0] for row in await connection.fetch(TOUCHED)]
    await _truncate(connection, [table for table in touched if table not in constant])
    changed = [table for table, each in constant.items() if await _rows_of(connection, table) != each]
    await _truncate(connection, changed)
    for table in changed:
        insert = f"INSERT INTO {table} SELECT * FROM json_populate_recordset(NULL::{table}, $1::json)"  # noqa: S608
        await connection.execute(insert, constant[table])


async def _truncate(connection: asyncpg.Connection, tables: list[str]) -> None:
    if tables:
        await connection.execute(f"TRUNCATE {', '.join(tables)} CASCADE")


async def _rows_of(connection: asyncpg.Connection, table: str) -> str:
    query = f"SELECT coalesce(json_agg(to_json(t) ORDER BY t::text), '[]')::text FROM {table} AS t"  # noqa: S608
    found: str = await connection.fetchval(query)
    return found
