"""Retention over HTTP: runs that are queued, submitted as Ray jobs, and waited for."""
