"""Pending embeddings: how often each was put off since the provider or Scoring was away."""

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE embedding_jobs ADD COLUMN deferrals integer NOT NULL DEFAULT 0")


def downgrade() -> None:
    op.execute("ALTER TABLE embedding_jobs DROP COLUMN deferrals")
