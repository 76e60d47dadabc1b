"""The alert rules: valid, tested by promtool, and each with a page that says what to do."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.monitoring.expressions import PROMETHEUS, rules
from tests.paths import ROOT

RULES = rules()
ALERTS = {name: rule for name, rule in RULES.items() if "alert" in rule}
TESTS = sorted((PROMETHEUS / "tests").glob("*.yml"))


def promtool(*arguments: str) -> str:
    """What it says of files that are as they should be."""
    binary = shutil.which("promtool") or shutil.which(str(ROOT / ".tools" / "promtool"))
    if binary is None:
        pytest.skip("needs promtool: .ci/promtool.sh fetches it on Debian and Ubuntu")
    done = subprocess.run([binary, *arguments], cwd=PROMETHEUS, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_prometheus_takes_the_configuration_and_the_rules() -> None:
    assert f"{len(list((PROMETHEUS / 'rules').glob('*.yml')))} rule files found" in promtool(
        "check", "config", "prometheus.yml"
    )


@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.stem)
def test_alerts_fire_when_they_should_and_no_sooner(path: Path) -> None:
    assert "SUCCESS" in promtool("test", "rules", str(path))


def test_each_alert_is_tested_to_fire_and_not_to_fire() -> None:
    fired: set[str] = set()
    quiet: set[str] = set()
    for path in TESTS:
        for test in yaml.safe_load(path.read_text())["tests"]:
            for check in test["alert_rule_test"]:
                (fired if check["exp_alerts"] else quiet).add(check["alertname"])

    assert fired == quiet == set(ALERTS)


@pytest.mark.parametrize("name", ALERTS)
def test_each_alert_says_what_is_wrong_and_where_it_says_what_to_do(name: str) -> None:
    rule = ALERTS[name]
    headings = re.findall(r"^## (\w+)$", (ROOT / "docs" / "alerts.md").read_text(), re.MULTILINE)

    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}
    assert rule["annotations"]["runbook_url"] == f"docs/alerts.md#{name.lower()}"
    assert name in headings


def test_the_page_explains_no_alert_that_is_gone() -> None:
    headings = re.findall(r"^## (Memory\w+)$", (ROOT / "docs" / "alerts.md").read_text(), re.MULTILINE)

    assert headings == sorted(set(headings), key=headings.index)
    assert set(headings) == set(ALERTS)
