"""Filter conditions of clients, parsed once for both SQL and in-memory indexes. Pure functions."""
