"""Infrastructure of every replica: logs, metrics, liveness, calls to other deployments, batches."""
