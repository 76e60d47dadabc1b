"""What the replicas do. Knows nothing of HTTP."""
