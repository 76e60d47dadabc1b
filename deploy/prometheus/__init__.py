"""Prometheus: scrape config, alert rules, and both for KubeRay."""
