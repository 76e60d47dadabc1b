"""Retention over HTTP: runs are queued, submitted as Ray jobs, and awaited."""
