"""What every replica has, whatever it serves: logs, metrics, liveness, calls to other deployments, batches."""
