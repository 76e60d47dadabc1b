"""What each tenant has stored and had embedded: held against its quotas."""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

# What waits for its embedding is summed from its jobs, by their index alone; what no longer waits is counted here by
# the statement that settled it. So a store touches no row that all messages of a tenant share.
USAGE = (
    """
    CREATE TABLE tenant_usage (
        tenant_id text PRIMARY KEY,
        messages bigint NOT NULL,
        bytes bigint NOT NULL,
        embedded_on date NOT NULL,
        embedded bigint NOT NULL
    ) WITH (fillfactor = 50)
    """,
    "ALTER TABLE embedding_jobs ADD COLUMN bytes integer NOT NULL DEFAULT 0",
    "UPDATE embedding_jobs j SET bytes = octet_length(content) FROM messages m WHERE m.id = j.message_id",
    "DROP INDEX embedding_jobs_tenant_due",
    """
    CREATE INDEX embedding_jobs_tenant_due ON embedding_jobs (tenant_id, available_at, message_id) INCLUDE (bytes)
        WHERE NOT failed
    """,
    """
    INSERT INTO tenant_usage (tenant_id, messages, bytes, embedded_on, embedded)
    SELECT tenant_id, count(*), sum(octet_length(content)), (now() AT TIME ZONE 'UTC')::date, 0
    FROM messages WHERE embedding_status <> 'pending' GROUP BY tenant_id
    """,
)

# `way`: a message that is there after the statement (1), or was before (-1). A text was embedded where more are
# completed than were before; one that is embedded again was pending in between.
KEEP = """
    CREATE FUNCTION keep_usage_on_{event}() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO tenant_usage AS u (tenant_id, messages, bytes, embedded_on, embedded)
        SELECT tenant_id, sum(way), sum(way * octet_length(content)), (now() AT TIME ZONE 'UTC')::date,
               greatest(0, sum(way) FILTER (WHERE embedding_status = 'completed' AND {embeds}))
        FROM ({moved}) AS moved WHERE embedding_status <> 'pending'
        GROUP BY tenant_id
        HAVING sum(way) <> 0 OR sum(way * octet_length(content)) <> 0
        ORDER BY tenant_id
        ON CONFLICT (tenant_id) DO UPDATE SET
            messages = u.messages + excluded.messages,
            bytes = u.bytes + excluded.bytes,
            embedded_on = excluded.embedded_on,
            embedded = excluded.embedded
                     + CASE WHEN u.embedded_on = excluded.embedded_on THEN u.embedded ELSE 0 END;
        RETURN NULL;
    END $$
"""
CAME = "SELECT tenant_id, 1 AS way, content, embedding_status FROM changed_to"
WENT = "SELECT tenant_id, -1 AS way, content, embedding_status FROM changed_from"
TABLES = {
    # What is inserted with its vector was embedded elsewhere.
    "insert": (CAME, "NEW TABLE AS changed_to", "false"),
    "update": (f"{CAME} UNION ALL {WENT}", "OLD TABLE AS changed_from NEW TABLE AS changed_to", "true"),
    "delete": (WENT, "OLD TABLE AS changed_from", "false"),
}
TRIGGER = """
    CREATE TRIGGER keep_usage_on_{event} AFTER {event} ON messages REFERENCING {tables}
        FOR EACH STATEMENT EXECUTE FUNCTION keep_usage_on_{event}()
"""
UNDO = (
    *(f"DROP TRIGGER keep_usage_on_{event} ON messages" for event in TABLES),
    *(f"DROP FUNCTION keep_usage_on_{event}()" for event in TABLES),
    "DROP TABLE tenant_usage",
    "DROP INDEX embedding_jobs_tenant_due",
    "ALTER TABLE embedding_jobs DROP COLUMN bytes",
    "CREATE INDEX embedding_jobs_tenant_due ON embedding_jobs (tenant_id, available_at, message_id) WHERE NOT failed",
)


def upgrade() -> None:
    for statement in USAGE:
        op.execute(statement)
    for event, (moved, tables, embeds) in TABLES.items():
        op.execute(KEEP.format(event=event, moved=moved, embeds=embeds))
        op.execute(TRIGGER.format(event=event, tables=tables))


def downgrade() -> None:
    for statement in UNDO:
        op.execute(statement)
