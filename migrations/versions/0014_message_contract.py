"""Names of the caller's own, users and agents, expiry, chat formats, and versions of messages; keys of one user."""

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

# `chat`: the message as its chat format has it, where it is more than text. `ttl_seconds`: what a read may renew.
# `version`: of what callers may change, from 1.
COLUMNS = {
    "external_id": "text",
    "user_id": "text",
    "agent_id": "text",
    "ttl_seconds": "bigint",
    "expires_at": "timestamptz",
    "chat": "jsonb",
    "version": "integer NOT NULL DEFAULT 1",
}
# All partial: a message without these fields costs nothing.
INDEXES = {
    "messages_external_id": "UNIQUE INDEX {} ON messages (tenant_id, external_id) WHERE external_id IS NOT NULL",
    "messages_user": "INDEX {} ON messages (tenant_id, user_id, created_at, id) WHERE user_id IS NOT NULL",
    "messages_agent": "INDEX {} ON messages (tenant_id, agent_id, created_at, id) WHERE agent_id IS NOT NULL",
    "messages_expires_at": "INDEX {} ON messages (expires_at, id) WHERE expires_at IS NOT NULL",
}
# Of one user. The release before reads whole rows of `erasures`, and would not know another column there. It inherits,
# so that an erasure is noted alike wherever its receipt is.
USER_ERASURES = (
    "CREATE TABLE user_erasures (user_id text NOT NULL, PRIMARY KEY (id)) INHERITS (erasures)",
    "CREATE INDEX user_erasures_user ON user_erasures (tenant_id, user_id, started_at)",
    "CREATE UNIQUE INDEX user_erasures_unfinished ON user_erasures (tenant_id, user_id) WHERE finished_at IS NULL",
)
# What importance and embedding the service computes is no change of the caller's, and neither is a read that refreshes
# `expires_at`: it leaves `updated_at` as it is.
WRITTEN_BY_CALLERS = (
    "conversation_id",
    "role",
    "created_at",
    "utc_offset",
    "content",
    "name",
    "metadata",
    "importance_override",
    "language",
    "external_id",
    "user_id",
    "agent_id",
    "ttl_seconds",
    "chat",
)
VERSIONS = (
    """
    CREATE FUNCTION count_version() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        NEW.version := OLD.version + 1;
        RETURN NEW;
    END $$
    """,
    # A trigger, so that an older release counts too.
    f"""
    CREATE TRIGGER count_version_on_update BEFORE UPDATE OF {", ".join(WRITTEN_BY_CALLERS)}, expires_at
        ON messages FOR EACH ROW
        WHEN (({", ".join(f"NEW.{name}" for name in WRITTEN_BY_CALLERS)})
              IS DISTINCT FROM ({", ".join(f"OLD.{name}" for name in WRITTEN_BY_CALLERS)})
              OR NEW.expires_at IS DISTINCT FROM OLD.expires_at AND NEW.updated_at <> OLD.updated_at)
        EXECUTE FUNCTION count_version()
    """,
)


def upgrade() -> None:
    for name, kind in COLUMNS.items():
        op.execute(f"ALTER TABLE messages ADD COLUMN {name} {kind}")
    for name, index in INDEXES.items():
        op.execute(f"CREATE {index.format(name)}")
    for statement in (*VERSIONS, *USER_ERASURES):
        op.execute(statement)
    for table in ("api_keys", "retention_runs"):
        op.execute(f"ALTER TABLE {table} ADD COLUMN user_id text")


def downgrade() -> None:
    op.execute("DROP TABLE user_erasures")
    # The release before would take a key of one user for one of the whole tenant.
    op.execute(
        "UPDATE api_keys SET revoked_at = coalesce(revoked_at, now()), changed_at = clock_timestamp() "
        "WHERE user_id IS NOT NULL"
    )
    for table in ("api_keys", "retention_runs"):
        op.execute(f"ALTER TABLE {table} DROP COLUMN user_id")
    op.execute("DROP TRIGGER count_version_on_update ON messages")
    op.execute("DROP FUNCTION count_version()")
    for name in COLUMNS:
        op.execute(f"ALTER TABLE messages DROP COLUMN {name}")
