"""What Ray and HAProxy tell of a running cluster is what rules and dashboard ask them for."""

import json
from functools import cache

import httpx
import promql_parser as promql
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.monitoring.exposed import samples
from tests.monitoring.expressions import asked
from tests.monitoring.promql import labels, selectors
from tests.monitoring.test_expressions import FOREIGN, of_the_service, recorded
from tests.serve.launched_service import LaunchedService
from tests.serve.test_cluster import message, search, wait_until

Series = dict[str, list[dict[str, str]]]

ASKED = [each for each in asked() if not of_the_service(each)]
NEEDED = {selector.name or "" for each in ASKED for selector in selectors(each.expression)}


@cache
def targets(cluster: LaunchedService) -> list[str]:
    """The addresses that prometheus.yml leads to: Ray's by the file that it names, and HAProxy's."""
    found = json.loads((cluster.data_dir / "ray" / "prom_metrics_service_discovery.json").read_text())
    haproxy = f"127.0.0.1:{cluster.environment['RAY_SERVE_HAPROXY_METRICS_PORT']}"
    return [*(target for group in found for target in group["targets"]), haproxy]


def scraped(cluster: LaunchedService) -> Series:
    """Each series of Ray's and HAProxy's metrics that is asked for."""
    found: Series = {}
    for target in targets(cluster):
        lines = httpx.get(f"http://{target}/metrics", timeout=30).text.splitlines()
        wanted = [line for line in lines if line.startswith(FOREIGN) and line.partition("{")[0].split(" ")[0] in NEEDED]
        for family in text_string_to_metric_families("\n".join([*wanted, ""])):
            for sample in family.samples:
                found.setdefault(sample.name, []).append(sample.labels)
    return found


@pytest.fixture(scope="module")
def told(launched: LaunchedService) -> Series:
    """What is told once something was stored and found: Ray's nodes hear of it some seconds later."""
    with httpx.Client(base_url=f"http://127.0.0.1:{launched.port}", timeout=30) as client:
        client.post("/v1/messages", json=message("Monitored", "monitored"))
        search(client, "monitored", "Monitored")
    latest: Series = {}

    def complete() -> bool:
        latest.update(scraped(launched))
        return {name for name in NEEDED if name.startswith(FOREIGN)} <= set(latest)

    try:
        wait_until(complete)
    except AssertionError:
        missing = {name for name in NEEDED if name.startswith(FOREIGN)} - set(latest)
        raise AssertionError(f"nobody tells of {', '.join(sorted(missing))}") from None
    return latest


def test_every_metric_and_label_is_one_that_ray_and_haproxy_expose(told: Series) -> None:
    known = {name: frozenset[str]().union(*series) for name, series in told.items()}

    for each in ASKED:
        assert each.shown <= labels(each.expression, {**samples(), **recorded(), **known}), each.where


def test_every_selector_finds_something(told: Series) -> None:
    """Values too: an application or a proxy of another name would be an empty panel."""
    for each in ASKED:
        for selector in selectors(each.expression):
            if (selector.name or "").startswith(FOREIGN):
                equal = [m for m in selector.matchers.matchers if m.op == promql.MatchOp.Equal]
                found = [s for s in told[selector.name or ""] if all(s.get(m.name) == m.value for m in equal)]
                assert found, f"{each.where}: {selector}"


def test_the_status_that_is_well_is_the_one_that_rules_take_for_it(cluster: LaunchedService) -> None:
    """The numbers are Ray's own, and might change with it."""
    lines = [line for target in targets(cluster) for line in httpx.get(f"http://{target}/metrics").text.splitlines()]

    def value(name: str) -> set[float]:
        return {float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"{name}{{")}

    assert value("ray_serve_application_status") == {6}
    assert value("ray_serve_proxy_status") == {2}
