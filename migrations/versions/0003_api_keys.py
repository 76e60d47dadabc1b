"""The keys of the API: who may do what, and for which tenant."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

API_KEYS = (
    # A tenant of NULL stands for all tenants. A row is never deleted: once there was a key, keys are required.
    """
    CREATE TABLE api_keys (
        id uuid PRIMARY KEY,
        name text NOT NULL,
        prefix text NOT NULL UNIQUE,
        hash bytea NOT NULL CHECK (octet_length(hash) = 32),
        tenant_id text,
        scopes text[] NOT NULL CHECK (cardinality(scopes) > 0 AND scopes <@ ARRAY['read', 'write', 'admin']),
        expires_at timestamptz,
        created_at timestamptz NOT NULL,
        last_used_at timestamptz,
        revoked_at timestamptz,
        changed_at timestamptz NOT NULL
    )
    """,
    "CREATE INDEX api_keys_changed_at ON api_keys (changed_at)",
    "CREATE INDEX api_keys_created_at ON api_keys (created_at, id)",
    "CREATE INDEX api_keys_tenant ON api_keys (tenant_id, created_at, id)",
)


def upgrade() -> None:
    for statement in API_KEYS:
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP TABLE api_keys")
