"""What was erased, when and for whom; and no answer kept of a message that is gone."""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

ERASURES = (
    # A receipt outlives what it is of. A conversation of NULL: the whole tenant.
    """
    CREATE TABLE erasures (
        id uuid PRIMARY KEY,
        tenant_id text NOT NULL,
        conversation_id text,
        requested_by text NOT NULL,
        messages bigint NOT NULL DEFAULT 0,
        vectors bigint NOT NULL DEFAULT 0,
        pending_embeddings bigint NOT NULL DEFAULT 0,
        idempotency_keys bigint NOT NULL DEFAULT 0,
        revoked_keys bigint NOT NULL DEFAULT 0,
        started_at timestamptz NOT NULL DEFAULT now(),
        finished_at timestamptz
    )
    """,
    "CREATE INDEX erasures_tenant ON erasures (tenant_id, started_at)",
    # No conversation has an empty name, so it can stand for all of them here.
    """
    CREATE UNIQUE INDEX erasures_unfinished ON erasures (tenant_id, coalesce(conversation_id, ''))
        WHERE finished_at IS NULL
    """,
)
ANSWERS = (
    "CREATE INDEX idempotency_keys_message ON idempotency_keys ((answer ->> 'id'))",
    """
    UPDATE idempotency_keys SET answer = 'null'
    WHERE NOT EXISTS (SELECT FROM messages m WHERE m.id = (answer ->> 'id')::uuid)
    """,
)


def upgrade() -> None:
    for statement in (*ERASURES, *ANSWERS):
        op.execute(statement)


def downgrade() -> None:
    # The version before cannot read an answer that was forgotten: such a key stores a message again.
    op.execute("DELETE FROM idempotency_keys WHERE answer = 'null'")
    op.execute("DROP INDEX idempotency_keys_message")
    op.execute("DROP TABLE erasures")
