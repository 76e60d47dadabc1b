"""What the rules and the dashboard ask Prometheus for."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from tests.paths import ROOT

PROMETHEUS = ROOT / "deploy" / "prometheus"
DASHBOARD = ROOT / "deploy" / "grafana" / "dashboards" / "memory-service.json"
# What Grafana puts in place of its variables; any value does here.
VARIABLES = {"$__rate_interval": "5m", "$endpoint": "/v1/messages"}
_OF_LEGEND = re.compile(r"\{\{(\w+)\}\}")
_OF_ANNOTATION = re.compile(r"\$labels\.(\w+)")
_LABEL_VALUES = re.compile(r"label_values\((.+), (\w+)\)")


@dataclass(frozen=True)
class Asked:
    """An expression, and the labels of its result that are shown."""

    where: str
    expression: str
    shown: frozenset[str]


def rules() -> dict[str, dict[str, Any]]:
    """Each rule by the name of its alert or of what it records."""
    files = [yaml.safe_load(path.read_text()) for path in sorted((PROMETHEUS / "rules").glob("*.yml"))]
    found = [rule for file in files for group in file["groups"] for rule in group["rules"]]
    return {rule.get("alert") or rule["record"]: rule for rule in found}


def panels() -> list[dict[str, Any]]:
    """All panels of the dashboard, rows left out."""
    return [panel for panel in json.loads(DASHBOARD.read_text())["panels"] if panel["type"] != "row"]


def asked() -> list[Asked]:
    """All that is asked for."""
    return [*_by_rules(), *_by_panels(), *_by_variables()]


def _by_rules() -> Iterator[Asked]:
    for name, rule in rules().items():
        annotations = " ".join(rule.get("annotations", {}).values())
        yield Asked(name, rule["expr"], frozenset(_OF_ANNOTATION.findall(annotations)))


def _by_panels() -> Iterator[Asked]:
    for panel in panels():
        for target in panel["targets"]:
            yield Asked(panel["title"], _without_variables(target["expr"]), _legend(target))


def _by_variables() -> Iterator[Asked]:
    for variable in json.loads(DASHBOARD.read_text())["templating"]["list"]:
        if variable["type"] == "query":
            (found,) = _LABEL_VALUES.findall(variable["query"])
            yield Asked(f"${variable['name']}", found[0], frozenset({found[1]}))


def _legend(target: dict[str, Any]) -> frozenset[str]:
    return frozenset(_OF_LEGEND.findall(target["legendFormat"]))


def _without_variables(expression: str) -> str:
    for variable, value in VARIABLES.items():
        expression = expression.replace(variable, value)
    return expression
