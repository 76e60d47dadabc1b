"""Pending embeddings by tenant: the workers take turns between tenants."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        "CREATE INDEX embedding_jobs_tenant_due ON embedding_jobs (tenant_id, available_at, message_id) "
        "WHERE NOT failed"
    )


def downgrade() -> None:
    op.execute("DROP INDEX embedding_jobs_tenant_due")
