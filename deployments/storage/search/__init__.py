"""Reads of searches: candidates by SQL, and the change feed that keeps in-memory indexes up to date."""
