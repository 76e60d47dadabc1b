"""The schema's history, run by Alembic: `alembic upgrade head`, `alembic downgrade -1`."""
