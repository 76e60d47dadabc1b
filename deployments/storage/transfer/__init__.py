"""Export and import of tenants."""
