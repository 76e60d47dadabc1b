"""Command-line jobs, each run as `python -m jobs.NAME`. Retention runs are submitted as Ray jobs."""
