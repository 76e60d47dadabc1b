"""Tenants and their users: API keys, usage, languages, erasure, totals."""
