"""Export and import of tenants, and import of foreign formats."""
