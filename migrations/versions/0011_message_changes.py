"""Which messages changed in which transaction: what an index in memory is brought up to date by."""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

TABLES = (
    # One row for each statement and tenant. It is new to a reader if its transaction is not visible in the snapshot of
    # the reader's last round: no commit can slip behind, and writers never wait for each other. The tenant is hashed,
    # since rows outlive an erasure by an hour. Two tenants with one hash are told of too much, which does no harm.
    """
    CREATE TABLE message_changes (
        tenant_key bigint NOT NULL,
        xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
        message_ids uuid[] NOT NULL
    ) WITH (autovacuum_vacuum_scale_factor = 0.2, autovacuum_vacuum_threshold = 5000)
    """,
    "CREATE INDEX message_changes_of_tenant ON message_changes (tenant_key, xid)",
    # Marks of the transactions that had all ended at a time; changes of before the oldest mark are not kept. A reader
    # whose snapshot is older than that has to read everything anew.
    """
    CREATE TABLE message_change_marks (
        all_before xid8 PRIMARY KEY,
        marked_at timestamptz NOT NULL DEFAULT now()
    )
    """,
    "INSERT INTO message_change_marks (all_before) SELECT pg_snapshot_xmin(pg_current_snapshot())",
)

NOTE = """
    CREATE FUNCTION note_changes_on_{event}() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO message_changes (tenant_key, message_ids)
        SELECT hashtextextended(tenant_id, 0), array_agg(id) FROM ({changed}) AS changed GROUP BY tenant_id;
        RETURN NULL;
    END $$
"""
CAME, WENT = "SELECT tenant_id, id FROM changed_to", "SELECT tenant_id, id FROM changed_from"
EVENTS = {
    "insert": (CAME, "NEW TABLE AS changed_to"),
    # What moves to another tenant changed in both.
    "update": (f"{CAME} UNION {WENT}", "OLD TABLE AS changed_from NEW TABLE AS changed_to"),
    "delete": (WENT, "OLD TABLE AS changed_from"),
}
TRIGGER = """
    CREATE TRIGGER note_changes_on_{event} AFTER {event} ON messages REFERENCING {tables}
        FOR EACH STATEMENT EXECUTE FUNCTION note_changes_on_{event}()
"""


def upgrade() -> None:
    for statement in TABLES:
        op.execute(statement)
    for event, (changed, tables) in EVENTS.items():
        op.execute(NOTE.format(event=event, changed=changed))
        op.execute(TRIGGER.format(event=event, tables=tables))


def downgrade() -> None:
    for event in EVENTS:
        op.execute(f"DROP TRIGGER note_changes_on_{event} ON messages")
        op.execute(f"DROP FUNCTION note_changes_on_{event}()")
    op.execute("DROP TABLE message_changes, message_change_marks")
