"""Access to Postgres."""
