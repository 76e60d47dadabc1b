"""Facts: statements that a caller derived from messages, as messages of a kind of their own."""

from importlib import import_module

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

_history = import_module("migrations.versions.0015_message_history")

# `superseded_at`: from when on the fact in `superseded_by` holds in its place. A fact holds from `valid_from` to the
# earlier of `valid_to` and `superseded_at`, or for good where both are null.
COLUMNS = {
    "kind": "text NOT NULL DEFAULT 'message' CHECK (kind IN ('message', 'fact'))",
    "valid_from": "timestamptz",
    "valid_to": "timestamptz",
    "superseded_by": "uuid",
    "superseded_at": "timestamptz",
}
# Partial: a message costs nothing here.
INDEXES = (
    "CREATE INDEX messages_facts ON messages (tenant_id, created_at, id) WHERE kind = 'fact'",
    "CREATE INDEX messages_superseded_by ON messages (superseded_by) WHERE superseded_by IS NOT NULL",
)
# Of facts alone, as they were before a change. What changes these counts `version` by itself: no trigger sees a change
# of sources, and a change of words and course at once is one version.
HISTORY = {
    "valid_from": "timestamptz",
    "valid_to": "timestamptz",
    "superseded_by": "uuid",
    "source_ids": "uuid[]",
}
KEEP_FACTS = _history.KEEP_VERSION.format(
    columns=f", {', '.join(HISTORY)}",
    values=""", OLD.valid_from, OLD.valid_to, OLD.superseded_by,
               CASE WHEN OLD.kind = 'fact' THEN
                   ARRAY(SELECT s.message_id FROM fact_sources s WHERE s.fact_id = OLD.id ORDER BY 1)
               END""",
)
SOURCES = (
    # No foreign keys: they would look each deleted message up, as 0012 says of jobs.
    """
    CREATE TABLE fact_sources (
        message_id uuid NOT NULL,
        fact_id uuid NOT NULL,
        PRIMARY KEY (message_id, fact_id)
    )
    """,
    "CREATE INDEX fact_sources_of_fact ON fact_sources (fact_id)",
    # A function, so that the query of a search, and those that fill indexes in memory, say the same of a fact.
    """
    CREATE FUNCTION described_fact(id uuid, subject text, valid_from timestamptz, valid_to timestamptz,
                                   superseded_by uuid, superseded_at timestamptz) RETURNS text
    LANGUAGE sql STABLE RETURN json_build_object(
        'subject', subject,
        'source_ids', ARRAY(SELECT s.message_id FROM fact_sources s WHERE s.fact_id = $1 ORDER BY 1),
        'valid_from', valid_from, 'valid_to', valid_to, 'superseded_by', superseded_by, 'superseded_at', superseded_at
    )::text
    """,
)
DELETION = (
    # Whatever deletes. The jobs are locked before the messages and in one order, as the workers do; and the facts
    # before their sources are counted, so that of two transactions that each delete one of two sources the later
    # deletes the fact. Facts that keep a source get another version, before the sources go: the history has them still,
    # and indexes in memory read the facts anew. Triggers fire by name: this one before those that lock a tenant's
    # counts, which whoever changes a fact locks after it.
    """
    CREATE FUNCTION delete_facts() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE
        deleted uuid[];
        touched uuid[];
    BEGIN
        deleted := ARRAY(SELECT id FROM changed_from WHERE kind = 'fact');
        IF cardinality(deleted) > 0 THEN
            DELETE FROM fact_sources WHERE fact_id = ANY(deleted);
            UPDATE messages
            SET superseded_by = NULL, superseded_at = NULL, version = version + 1, updated_at = clock_timestamp()
            WHERE superseded_by IS NOT NULL AND superseded_by = ANY(deleted);
        END IF;
        touched := ARRAY(SELECT DISTINCT s.fact_id FROM fact_sources s JOIN changed_from c ON c.id = s.message_id);
        IF cardinality(touched) = 0 THEN
            RETURN NULL;
        END IF;
        PERFORM FROM embedding_jobs WHERE message_id = ANY(touched) ORDER BY message_id FOR UPDATE;
        PERFORM FROM messages WHERE id = ANY(touched) ORDER BY id FOR UPDATE;
        -- A change that was waited for may have taken the source from the fact.
        touched := ARRAY(SELECT DISTINCT s.fact_id FROM fact_sources s JOIN changed_from c ON c.id = s.message_id);
        DELETE FROM messages WHERE id = ANY(touched) AND NOT EXISTS (
            SELECT FROM fact_sources s
            WHERE s.fact_id = messages.id AND s.message_id NOT IN (SELECT id FROM changed_from));
        UPDATE messages SET version = version + 1, updated_at = clock_timestamp() WHERE id = ANY(touched);
        DELETE FROM fact_sources s USING changed_from c WHERE s.message_id = c.id;
        RETURN NULL;
    END $$
    """,
    """
    CREATE TRIGGER delete_facts_on_delete AFTER DELETE ON messages REFERENCING OLD TABLE AS changed_from
        FOR EACH STATEMENT EXECUTE FUNCTION delete_facts()
    """,
)


def upgrade() -> None:
    for name, kind in COLUMNS.items():
        op.execute(f"ALTER TABLE messages ADD COLUMN {name} {kind}")
    for name, kind in HISTORY.items():
        op.execute(f"ALTER TABLE message_history ADD COLUMN {name} {kind}")
    for statement in (*INDEXES, *SOURCES, *DELETION, KEEP_FACTS):
        op.execute(statement)


def downgrade() -> None:
    # The release before would take facts for messages of a conversation without a name.
    op.execute("DELETE FROM messages WHERE kind = 'fact'")
    op.execute("DROP TRIGGER delete_facts_on_delete ON messages")
    op.execute("DROP FUNCTION delete_facts()")
    op.execute("DROP FUNCTION described_fact(uuid, text, timestamptz, timestamptz, uuid, timestamptz)")
    op.execute(_history.KEEP_VERSION.format(columns="", values=""))
    for name in HISTORY:
        op.execute(f"ALTER TABLE message_history DROP COLUMN {name}")
    op.execute("DROP TABLE fact_sources")
    for name in COLUMNS:
        op.execute(f"ALTER TABLE messages DROP COLUMN {name}")
