"""Many messages of many tenants, made by Postgres itself, which takes seconds."""

import asyncpg

LARGE_TENANT = "large"
SMALL_TENANT = "small-7"
LARGE = 5_000
SMALL = 20
SMALL_TENANTS = 50

WORDS = "apple pear cherry plum quince medlar sorb damson sloe bullace greengage mirabelle"
VECTOR = "(SELECT array_agg(random() - 0.5 + 0 * (n + d)) FROM generate_series(1, 256) AS d)::real[]"
ROWS = f"""
    INSERT INTO messages (id, tenant_id, conversation_id, role, content, importance, embedding, embedding_status,
                          terms, created_at, updated_at, indexed)
    SELECT gen_random_uuid(), tenant, 'c' || n % 50, 'user', said, 0.5, l2_normalize({VECTOR}::halfvec),
           'completed', message_terms('english', NULL, said, when_said), when_said, when_said, true
    FROM (
        SELECT tenant, n, now() - make_interval(mins => n) AS when_said,
               (string_to_array('{WORDS}', ' '))[1 + n % 12] || ' ' || 'word' || (n % 997) AS said
        FROM (
            SELECT '{LARGE_TENANT}' AS tenant, n FROM generate_series(1, $1) AS n
            UNION ALL
            SELECT 'small-' || t, n FROM generate_series(1, {SMALL_TENANTS}) AS t, generate_series(1, {SMALL}) AS n
        ) AS numbered
    ) AS turns
"""  # noqa: S608 - constants
# All of them: plans and results of small tenants too are looked at with the indexes of large ones.
LARGE_TENANTS = f"""
    INSERT INTO large_tenants (tenant_id, state)
    SELECT '{LARGE_TENANT}', 'ready'
    UNION ALL SELECT 'small-' || t, 'ready' FROM generate_series(1, {SMALL_TENANTS}) AS t
"""  # noqa: S608 - constants
PENDING = """
    INSERT INTO embedding_jobs (message_id, tenant_id, available_at)
    SELECT id, tenant_id, now() + random() * interval '1 day' - interval '10 minutes' FROM messages
"""


async def fill(url: str, *, large: int = LARGE, pending: bool = False) -> None:
    """Fill an empty, migrated database; the triggers count. The HNSW index is built afterwards, which is quicker.

    `pending`: with a job for each, as if all had to be embedded again.
    """
    connection = await asyncpg.connect(url)
    try:
        hnsw = await connection.fetchval("SELECT indexdef FROM pg_indexes WHERE indexname = 'messages_embedding'")
        await connection.execute("DROP INDEX messages_embedding")
        await connection.execute("SELECT setseed(0.5)")
        await connection.execute(LARGE_TENANTS)
        await connection.execute(ROWS, large)
        if pending:
            await connection.execute(PENDING)
        await connection.execute(hnsw)
        await connection.execute("VACUUM ANALYZE")
    finally:
        await connection.close()


def alike(tenant_id: str, content: str, times: int) -> str:
    """The statement that stores one message many times, none of them with a vector."""
    return f"""
        INSERT INTO messages (id, tenant_id, conversation_id, role, content, embedding_status, terms, term_count,
                              created_at, updated_at)
        SELECT gen_random_uuid(), '{tenant_id}', 'c' || n, 'user', '{content}', 'failed',
               terms, term_count(terms), timestamptz '2023-05-07', timestamptz '2023-05-07'
        FROM generate_series(1, {times}) AS n,
             message_terms('english', NULL, '{content}', timestamptz '2023-05-07') AS terms
    """  # noqa: S608 - constants
