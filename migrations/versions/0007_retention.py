"""Retention: policies of tenants, the ledger of runs, what they planned, and since when a message is archived."""

from importlib import import_module

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

ARCHIVED = (
    "ALTER TABLE messages ADD COLUMN archived_at timestamptz, ADD COLUMN archived_by uuid",
    "UPDATE messages SET archived_at = now() WHERE archived",
    # The time of archiving decides on the deletion, so it is right whoever archives. By row, yet called for those alone
    # that lack it.
    """
    CREATE FUNCTION note_archiving() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        NEW.archived_at := CASE WHEN NEW.archived THEN now() END;
        NEW.archived_by := CASE WHEN NEW.archived THEN NEW.archived_by END;
        RETURN NEW;
    END $$
    """,
    """
    CREATE TRIGGER note_archiving_on_insert BEFORE INSERT ON messages FOR EACH ROW
        WHEN (NEW.archived <> (NEW.archived_at IS NOT NULL)) EXECUTE FUNCTION note_archiving()
    """,
    """
    CREATE TRIGGER note_archiving_on_update BEFORE UPDATE OF archived ON messages FOR EACH ROW
        WHEN (NEW.archived <> (NEW.archived_at IS NOT NULL)) EXECUTE FUNCTION note_archiving()
    """,
    "CREATE INDEX messages_archived_at ON messages (tenant_id, archived_at, id) WHERE archived",
    "CREATE INDEX messages_archived_by ON messages (archived_by, id) WHERE archived_by IS NOT NULL",
)

# An archived message is written anew, into every index that it belongs to. Not into the HNSW index, which costs twenty
# times as much as all the others together, and which searches would walk past it in.
CREATE_EMBEDDING_SPACE = """
    CREATE OR REPLACE FUNCTION create_embedding_space(model text, dimensions integer) RETURNS void
    LANGUAGE plpgsql AS $$
    BEGIN
        LOCK TABLE embedding_space IN EXCLUSIVE MODE;
        IF NOT EXISTS (SELECT FROM embedding_space) THEN
            INSERT INTO embedding_space (model, dimensions) VALUES (model, dimensions);
            EXECUTE format(
                'CREATE INDEX messages_embedding ON messages '
                'USING hnsw ((embedding::halfvec(%1$s)) halfvec_cosine_ops) WHERE NOT archived', dimensions);
        END IF;
    END $$
"""
REBUILD_INDEX = """
    DO $$
    DECLARE
        size integer;
    BEGIN
        SELECT dimensions INTO size FROM embedding_space;
        IF FOUND THEN
            DROP INDEX messages_embedding;
            EXECUTE format(
                'CREATE INDEX messages_embedding ON messages '
                'USING hnsw ((embedding::halfvec(%1$s)) halfvec_cosine_ops) {predicate}', size);
        END IF;
    END $$
"""

POLICIES = (
    # What is NULL is as the settings say.
    """
    CREATE TABLE retention_policies (
        tenant_id text PRIMARY KEY,
        max_age_days integer CHECK (max_age_days > 0),
        importance_threshold double precision CHECK (importance_threshold BETWEEN 0 AND 1),
        delete_after_days integer CHECK (delete_after_days > 0),
        keep_newest integer CHECK (keep_newest >= 0),
        exempt boolean NOT NULL
    )
    """,
)

LEDGER = (
    # A source is the plan that is applied, or the run that is undone. A position is how far the phase is.
    """
    CREATE TABLE retention_runs (
        id uuid PRIMARY KEY,
        tenant_id text,
        actions text[] NOT NULL CHECK (cardinality(actions) > 0 AND actions <@ ARRAY['archive', 'delete', 'restore']),
        dry_run boolean NOT NULL,
        forced boolean NOT NULL,
        source_id uuid REFERENCES retention_runs,
        requested_by text NOT NULL,
        policy jsonb NOT NULL,
        status text NOT NULL DEFAULT 'running'
            CHECK (status IN ('running', 'completed', 'refused', 'failed', 'cancelled')),
        phase text NOT NULL DEFAULT 'queued'
            CHECK (phase IN ('queued', 'planning', 'archiving', 'deleting', 'restoring', 'finishing')),
        as_of timestamptz,
        planned_tenant text NOT NULL DEFAULT '',
        planned bigint NOT NULL DEFAULT 0,
        plan_kept boolean NOT NULL DEFAULT true,
        position bigint NOT NULL DEFAULT 0,
        archived bigint NOT NULL DEFAULT 0,
        deleted bigint NOT NULL DEFAULT 0,
        restored bigint NOT NULL DEFAULT 0,
        skipped bigint NOT NULL DEFAULT 0,
        error text,
        claim_id uuid,
        created_at timestamptz NOT NULL DEFAULT now(),
        submitted_at timestamptz NOT NULL DEFAULT now(),
        heartbeat_at timestamptz,
        finished_at timestamptz
    )
    """,
    "CREATE INDEX retention_runs_created_at ON retention_runs (created_at, id)",
    "CREATE INDEX retention_runs_tenant ON retention_runs (tenant_id, created_at, id)",
    "CREATE INDEX retention_runs_unfinished ON retention_runs (created_at, id) WHERE status = 'running'",
    # What a run plans for each tenant, of how many messages; refused where it is more than half of them.
    """
    CREATE TABLE retention_tenants (
        run_id uuid NOT NULL REFERENCES retention_runs ON DELETE CASCADE,
        tenant_id text NOT NULL,
        action text NOT NULL,
        planned bigint NOT NULL,
        messages bigint NOT NULL,
        refused boolean NOT NULL,
        policy jsonb NOT NULL,
        PRIMARY KEY (run_id, tenant_id, action)
    )
    """,
    # Each message of a plan as it was then. Gone when the plan was applied, or is too old to be.
    """
    CREATE TABLE retention_items (
        run_id uuid NOT NULL,
        action text NOT NULL,
        position bigint NOT NULL,
        tenant_id text NOT NULL,
        message_id uuid NOT NULL,
        importance double precision,
        updated_at timestamptz NOT NULL,
        archived_at timestamptz,
        PRIMARY KEY (run_id, action, position)
    )
    """,
    """
    CREATE TABLE retention_schedule (
        only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
        started_at timestamptz NOT NULL
    )
    """,
)

UNDO = (
    *(f"DROP TABLE retention_{name}" for name in ("schedule", "items", "tenants", "runs", "policies")),
    "DROP TRIGGER note_archiving_on_insert ON messages",
    "DROP TRIGGER note_archiving_on_update ON messages",
    "DROP FUNCTION note_archiving()",
    "ALTER TABLE messages DROP COLUMN archived_at, DROP COLUMN archived_by",
)


def upgrade() -> None:
    for statement in (*ARCHIVED, *POLICIES, *LEDGER):
        op.execute(statement)
    op.execute(CREATE_EMBEDDING_SPACE)
    op.execute(REBUILD_INDEX.replace("{predicate}", "WHERE NOT archived"))


def downgrade() -> None:
    for statement in UNDO:
        op.execute(statement)
    _, create_embedding_space = import_module("migrations.versions.0001_messages").EMBEDDING_SPACE
    op.execute(create_embedding_space.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION"))
    op.execute(REBUILD_INDEX.replace("{predicate}", ""))
