"""How many requests a key may make."""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE api_keys ADD COLUMN rate_limit text")


def downgrade() -> None:
    op.execute("ALTER TABLE api_keys DROP COLUMN rate_limit")
