"""Ray jobs, each run as `python -m jobs.NAME`. The first ones come with retention."""
