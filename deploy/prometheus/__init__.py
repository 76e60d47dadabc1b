"""Prometheus: scraping, rules, and the same for KubeRay."""
