"""Write the dashboard as the JSON that Grafana reads: `python -m deploy.grafana.write`."""

from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from deploy.grafana.memory_service import memory_service

DASHBOARD = Path(__file__).with_name("dashboards") / "memory-service.json"


def rendered() -> str:
    """Return the dashboard's JSON."""
    return JSONEncoder(sort_keys=True, indent=1).encode(memory_service().build()) + "\n"


if __name__ == "__main__":
    DASHBOARD.write_text(rendered())
