"""What the service exposes, by docs/metrics.md: tests/unit/metrics holds that page against the code."""

import re

from tests.monitoring.promql import Known
from tests.paths import ROOT

_ROW = re.compile(r"^\| `(\w+)` \|([^|]*)\|([^|]*)\|", re.MULTILINE)
_LABEL = re.compile(r"`(\w+)`(?: \(([^)]*)\))?")


def samples() -> Known:
    """Each name that an expression may use, with its labels."""
    found: dict[str, frozenset[str]] = {}
    for name, labels, unit in _rows():
        own = frozenset(label for label, _ in _LABEL.findall(labels))
        if "histogram" in unit:
            found |= {f"{name}_bucket": own | {"le"}, f"{name}_sum": own, f"{name}_count": own}
        else:
            found[name] = own
    return found


def values() -> dict[tuple[str, str], set[str]]:
    """The values of a metric's label, where the page spells them all out."""
    return {
        (name, label): set(listed.split(", "))
        for name, labels, _ in _rows()
        for label, listed in _LABEL.findall(labels)
        if listed and "..." not in listed
    }


def _rows() -> list[tuple[str, str, str]]:
    return _ROW.findall((ROOT / "docs" / "metrics.md").read_text())
