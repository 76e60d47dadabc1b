"""The messages of a tenant in memory."""
