"""Print the rules as a prometheus-operator resource, for kubectl: `python -m deploy.prometheus.prometheus_rule`."""

import sys
from pathlib import Path
from typing import Any

import yaml

RULES = Path(__file__).with_name("rules")


def prometheus_rule() -> dict[str, Any]:
    """Return one PrometheusRule with the groups of all files."""
    groups = [group for path in sorted(RULES.glob("*.yml")) for group in yaml.safe_load(path.read_text())["groups"]]
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "memory", "labels": {"release": "prometheus"}},
        "spec": {"groups": groups},
    }


if __name__ == "__main__":
    yaml.safe_dump(prometheus_rule(), sys.stdout, sort_keys=False, width=1000)
