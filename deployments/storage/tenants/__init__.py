"""Data of tenants and their users: API keys, usage, languages, erasure, totals."""
