"""Tenants that are exported or imported."""
