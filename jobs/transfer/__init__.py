"""Export and import of tenants, and the formats of others."""
