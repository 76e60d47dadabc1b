"""What messages said before callers changed them, kept for a while."""

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

# Revision 0016 keeps more of facts.
KEEP_VERSION = """
    CREATE OR REPLACE FUNCTION keep_version() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE
        replaced_at timestamptz := clock_timestamp();
    BEGIN
        INSERT INTO message_history (
            message_id, version, tenant_id, since, until, conversation_id, role, created_at, utc_offset, content, name,
            metadata, importance_override, language, external_id, user_id, agent_id, ttl_seconds, expires_at,
            chat{columns})
        SELECT OLD.id, OLD.version, OLD.tenant_id,
               least(coalesce(before.until, OLD.updated_at), replaced_at), replaced_at,
               OLD.conversation_id, OLD.role, OLD.created_at, OLD.utc_offset, OLD.content, OLD.name,
               OLD.metadata, OLD.importance_override, OLD.language, OLD.external_id, OLD.user_id, OLD.agent_id,
               OLD.ttl_seconds, OLD.expires_at, OLD.chat{values}
        FROM message_history_policy p
        LEFT JOIN message_history before ON before.message_id = OLD.id AND before.version = OLD.version - 1
        WHERE p.kept_days > 0
        -- What a TRUNCATE of messages left behind must not fail a change.
        ON CONFLICT DO NOTHING;
        -- A version of 100,000 characters takes 100 kB, and no quota counts it.
        DELETE FROM message_history WHERE message_id = OLD.id AND version <= OLD.version - 100;
        RETURN NULL;
    END $$
"""
HISTORY = (
    # One row, which the service writes: a trigger knows no settings, and the release before has none for this.
    """
    CREATE TABLE message_history_policy (
        only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
        kept_days integer NOT NULL DEFAULT 30 CHECK (kept_days >= 0)
    )
    """,
    "INSERT INTO message_history_policy DEFAULT VALUES",
    # `since` and `until`: by the clock of the database, when the version came and went.
    """
    CREATE TABLE message_history (
        message_id uuid NOT NULL,
        version integer NOT NULL,
        tenant_id text NOT NULL,
        since timestamptz NOT NULL,
        until timestamptz NOT NULL,
        conversation_id text NOT NULL,
        role text NOT NULL,
        created_at timestamptz NOT NULL,
        utc_offset smallint NOT NULL,
        content text NOT NULL,
        name text,
        metadata jsonb NOT NULL,
        importance_override double precision,
        language text,
        external_id text,
        user_id text,
        agent_id text,
        ttl_seconds bigint,
        expires_at timestamptz,
        chat jsonb,
        PRIMARY KEY (message_id, version)
    )
    """,
    "CREATE INDEX message_history_until ON message_history (until)",
    KEEP_VERSION.format(columns="", values=""),
    # The columns are those of 0014, and `version` for what counts it by itself. Embedding and archiving write none of
    # them, and so cost nothing here.
    """
    CREATE TRIGGER keep_version_on_update
        AFTER UPDATE OF conversation_id, role, created_at, utc_offset, content, name, metadata, importance_override,
                        language, external_id, user_id, agent_id, ttl_seconds, expires_at, chat, version
        ON messages FOR EACH ROW
        WHEN (OLD.version IS DISTINCT FROM NEW.version) EXECUTE FUNCTION keep_version()
    """,
    # Once for a statement: a foreign key looks for each message, which doubled the time of deleting a thousand.
    """
    CREATE FUNCTION forget_versions() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        DELETE FROM message_history h USING changed_from m WHERE h.message_id = m.id;
        RETURN NULL;
    END $$
    """,
    """
    CREATE TRIGGER forget_versions_on_delete AFTER DELETE ON messages REFERENCING OLD TABLE AS changed_from
        FOR EACH STATEMENT EXECUTE FUNCTION forget_versions()
    """,
    # Beside the receipts and not in them: the release before knows each column of a receipt, and fails for another. No
    # foreign key: it would not see the receipts of users, which are in a table that inherits.
    """
    CREATE TABLE erased_versions (
        erasure_id uuid PRIMARY KEY,
        versions bigint NOT NULL
    )
    """,
)


def upgrade() -> None:
    for statement in HISTORY:
        op.execute(statement)


def downgrade() -> None:
    for trigger, function in (
        ("keep_version_on_update", "keep_version"),
        ("forget_versions_on_delete", "forget_versions"),
    ):
        op.execute(f"DROP TRIGGER {trigger} ON messages")
        op.execute(f"DROP FUNCTION {function}()")
    op.execute("DROP TABLE erased_versions, message_history, message_history_policy")
