"""The Grafana dashboard, made from code: `python -m deploy.grafana.write`."""
