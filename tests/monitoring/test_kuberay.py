"""Under KubeRay the same jobs are scraped by the same names, and the same rules hold."""

from typing import Any

import yaml

from deploy.prometheus.prometheus_rule import prometheus_rule
from tests.monitoring.expressions import PROMETHEUS, rules


def resources() -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((PROMETHEUS / "kuberay.yaml").read_text()))


def job(endpoint: dict[str, Any]) -> str:
    """The name that relabelling gives to what is scraped."""
    (name,) = (each["replacement"] for each in endpoint["relabelings"] if each["targetLabel"] == "job")
    return str(name)


def test_jobs_have_the_names_that_rules_select_by() -> None:
    scraping = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())["scrape_configs"]
    pods = {job(each) for r in resources() for each in r["spec"].get("podMetricsEndpoints", [])}
    (service,) = (each for each in resources() if each["kind"] == "ScrapeConfig")

    assert {each["job_name"] for each in scraping} == {"memory", "ray", "haproxy"}
    assert pods == {"ray"}
    assert service["spec"]["jobName"] == "memory"


def test_the_service_is_scraped_at_one_address() -> None:
    """Each replica answers with the sum of all."""
    (service,) = (each for each in resources() if each["kind"] == "ScrapeConfig")
    (addresses,) = service["spec"]["staticConfigs"]

    assert len(addresses["targets"]) == 1
    assert not [each for each in resources() if each["kind"] == "ServiceMonitor"]


def test_the_operator_is_given_every_rule() -> None:
    given = [
        rule.get("alert") or rule["record"] for group in prometheus_rule()["spec"]["groups"] for rule in group["rules"]
    ]

    assert sorted(given) == sorted(rules())
