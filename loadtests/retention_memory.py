"""A large memory with messages of all ages, made by Postgres itself: a million takes some ten minutes."""

import sys
from time import monotonic

from deployments.storage.postgres.database import OwnConnection

AT_ONCE = 50_000
TENANTS = 10
WORDS = 5_000
WORDS_PER_MESSAGE = 12
DAYS = 60
ARCHIVED_SHARE = 0.03

_VECTOR = "(SELECT array_agg(random() - 0.5 + 0 * (n + d)) FROM generate_series(1, 256) AS d)::real[]"
_SAID = f"(SELECT string_agg('word' || ((random() * {WORDS})::int + 0 * (n + w)), ' ') FROM generate_series(1, {WORDS_PER_MESSAGE}) AS w)"  # noqa: E501, S608 - constants
_ROWS = f"""
    INSERT INTO messages (id, tenant_id, conversation_id, role, content, importance, embedding, embedding_status,
                          terms, term_count, created_at, updated_at, archived, archived_at, indexed)
    SELECT gen_random_uuid(), 'retained-' || n % {TENANTS}, 'c' || n / 50, 'user', said, chance,
           l2_normalize({_VECTOR}::halfvec), 'completed', terms, term_count(terms), at, at, old,
           CASE WHEN old THEN now() - interval '100 days' END, true
    FROM (
        SELECT *, message_terms('english', NULL, said, at) AS terms FROM (
        SELECT n, {_SAID} AS said, random() AS chance, random() < {ARCHIVED_SHARE} AS old,
               now() - make_interval(secs => random() * 86400 * {DAYS}) AS at
        FROM generate_series($1::int, $2::int) AS n
        ) AS said
    ) AS messages
"""  # noqa: S608 - constants
_COUNT = (
    """
    INSERT INTO tenant_statistics (tenant_id, embedded, messages, term_count, summed, embedding_sum)
    SELECT tenant_id, count(embedding), count(*) FILTER (WHERE NOT archived),
           coalesce(sum(term_count) FILTER (WHERE NOT archived), 0), count(embedding), sum(embedding::vector)
    FROM messages WHERE tenant_id LIKE 'retained-%' GROUP BY tenant_id
    """,
    """
    INSERT INTO tenant_terms (tenant_id, term, messages)
    SELECT tenant_id, term, count(*) FROM messages, unnest(tsvector_to_array(terms)) AS term
    WHERE NOT archived AND tenant_id LIKE 'retained-%' GROUP BY tenant_id, term
    """,
    """
    INSERT INTO tenant_usage (tenant_id, messages, bytes, embedded_on, embedded)
    SELECT tenant_id, count(*), sum(octet_length(content)), current_date, 0
    FROM messages WHERE tenant_id LIKE 'retained-%' GROUP BY tenant_id
    """,
    "INSERT INTO large_tenants (tenant_id, state) SELECT tenant_id, 'ready' FROM tenant_usage",
)
_INDEXES = ("messages_embedding", "messages_terms")


async def fill(connection: OwnConnection, messages: int) -> None:
    """Fill a database that holds none of these tenants. What triggers count and indexes hold is made afterwards."""
    names = await connection.fetch(
        "SELECT indexname, indexdef FROM pg_indexes WHERE indexname = ANY($1::text[])", list(_INDEXES)
    )
    for name, _ in names:
        await connection.execute(f"DROP INDEX {name}")
    await connection.execute("SET session_replication_role = replica; SET statement_timeout = 0")
    began = monotonic()
    for first in range(0, messages, AT_ONCE):
        await connection.execute(_ROWS, first, min(first + AT_ONCE, messages) - 1)
        _say(f"{min(first + AT_ONCE, messages):,} of {messages:,} messages", began)
    for statement in _COUNT:
        await connection.execute(statement)
    await connection.execute("SET session_replication_role = origin")
    _say("counted", began)
    await connection.execute("SET maintenance_work_mem = '3GB'; SET max_parallel_maintenance_workers = 1")
    for name, definition in names:
        await connection.execute(definition)
        _say(name, began)
    await connection.execute("VACUUM ANALYZE")
    _say("vacuumed", began)


def _say(what: str, began: float) -> None:
    sys.stderr.write(f"{what} after {monotonic() - began:.0f} s\n")
