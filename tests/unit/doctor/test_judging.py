"""What is made of what was found: the cluster, the service, clocks, the disk, a pooler."""

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry, generate_latest

from deployments.runtime.capacity import DEPLOYMENTS
from deployments.search.instruments import IndexInstruments
from deployments.storage.inspection import ConnectionLimits, Server
from jobs.doctor import cluster, embedded
from jobs.doctor.clock import judge_clock
from jobs.doctor.cluster import details_in
from jobs.doctor.database import judge_server, judge_switches
from jobs.doctor.embedded import judge_disk
from jobs.doctor.findings import Finding, Outcome, problem, skipped, warning, well, worst
from jobs.doctor.indexes import judge_indexes
from jobs.doctor.serve_config import IMPORT_PATH
from jobs.doctor.service import judge_health

Json = dict[str, Any]
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def outcomes(findings: list[Finding]) -> list[tuple[str, Outcome]]:
    return [(finding.check, finding.outcome) for finding in findings]


def deployed(**changed: Json | None) -> Json:
    """What Serve says of a cluster that is well, but for what is changed; None: that one is missing."""
    one = {"status": "HEALTHY", "target_num_replicas": 1, "replicas": [{"state": "RUNNING"}]}
    parts = {name: changed.get(name, {}) for name in DEPLOYMENTS}
    deployments = {name: {**one, **part} for name, part in parts.items() if part is not None}
    application = {"status": "RUNNING", "deployed_app_config": {"import_path": IMPORT_PATH}, "deployments": deployments}
    return {"applications": {"memory": application}}


def judge_cluster(details: Json) -> list[Finding]:
    return cluster.judge_cluster(details, "http://someone:hunter2@127.0.0.1:8266", Path("/etc/serve_config.yaml"))


def test_commands_name_the_interpreters_programs_and_the_dashboard_without_its_password() -> None:
    (missing,) = judge_cluster({"applications": {}})
    (unwell,) = judge_cluster(deployed(Search={"status": "UNHEALTHY", "replicas": []}))
    serve = f"{Path(sys.executable).with_name('serve')}"

    assert missing.command == f"{serve} deploy --address http://127.0.0.1:8266 /etc/serve_config.yaml"
    assert unwell.command == f"{serve} status --address http://127.0.0.1:8266"


def test_a_cluster_that_is_well_is_counted() -> None:
    (finding,) = judge_cluster(deployed())

    assert finding == well("cluster", "The application memory runs, with 6 replicas.")


@pytest.mark.parametrize(
    ("changed", "outcome", "words"),
    [
        ({"Search": {"status": "UNHEALTHY", "replicas": []}}, Outcome.PROBLEM, "Search is UNHEALTHY, with 0 of 1"),
        ({"Search": {"target_num_replicas": 3}}, Outcome.WARNING, "Search is HEALTHY, with 1 of 3 replicas"),
        ({"Metrics": None}, Outcome.PROBLEM, "Metrics is missing"),
        ({"Search": {"status": "DEPLOY_FAILED"}}, Outcome.PROBLEM, "Search is DEPLOY_FAILED"),
        (
            {"Search": {"status": "UPSCALING", "target_num_replicas": 3}},
            Outcome.WARNING,
            "Search is UPSCALING, with 1 of",
        ),
        ({"Search": {"status": "DOWNSCALING"}}, Outcome.WARNING, "Search is DOWNSCALING"),
        ({"Search": {"status": "UPDATING", "replicas": []}}, Outcome.WARNING, "Search is UPDATING, with 0 of 1"),
    ],
)
def test_a_deployment_that_is_not_well_is_named(changed: Json, outcome: Outcome, words: str) -> None:
    (finding,) = judge_cluster(deployed(**changed))

    assert finding.outcome is outcome
    assert words in finding.said


def test_an_application_that_does_not_run_and_one_that_is_not_there() -> None:
    failing = deployed()
    failing["applications"]["memory"]["status"] = "DEPLOY_FAILED"

    assert "DEPLOY_FAILED" in judge_cluster(failing)[0].said
    assert outcomes(judge_cluster({"applications": {}})) == [("cluster", Outcome.PROBLEM)]


def test_an_application_that_is_being_deployed_is_warned_of_and_its_missing_parts_are_to_come() -> None:
    young = deployed(Metrics=None, Search={"status": "UPDATING", "replicas": []})
    young["applications"]["memory"]["status"] = "DEPLOYING"

    found = judge_cluster(young)

    assert outcomes(found) == [("cluster", Outcome.WARNING)] * 2
    assert [each.said.partition(",")[0] for each in found] == [
        "The application memory is DEPLOYING.",
        "Search is UPDATING",
    ]


@pytest.mark.parametrize("text", ["<html></html>", "[]", ""])
def test_an_answer_that_is_not_the_dashboards(text: str) -> None:
    found = details_in(httpx.Response(200, text=text))

    assert isinstance(found, Finding)
    assert "something else" in found.said


def test_the_parts_of_health_are_findings() -> None:
    parts = [
        {"name": "database", "status": "ok", "problem": None},
        {"name": "pool", "status": "degraded", "problem": "All are busy."},
        {"name": "search", "status": "unavailable", "problem": "It does not answer."},
    ]

    found = judge_health({"version": "1", "parts": parts}, ready=False, code="2")

    assert outcomes(found) == [
        ("service.pool", Outcome.WARNING),
        ("service.search", Outcome.PROBLEM),
        ("service", Outcome.PROBLEM),
        ("service", Outcome.WARNING),
    ]
    assert "Version 1 runs, but 2 is installed here" in found[-1].said
    assert worst(judge_health({"version": "2", "parts": parts[:1]}, ready=True, code="2")) is Outcome.OK


@pytest.mark.parametrize(
    ("loads", "evictions", "outcome"),
    [(0, 0, Outcome.OK), (100, 90, Outcome.OK), (1_000, 400, Outcome.OK), (1_000, 600, Outcome.WARNING)],
)
def test_indexes_that_are_loaded_again_and_again(loads: int, evictions: int, outcome: Outcome) -> None:
    instruments = IndexInstruments(registry := CollectorRegistry())
    instruments.bytes.set(3 * 2**20)
    instruments.tenants.set(7)
    instruments.loads.labels("loaded").inc(loads)
    instruments.evictions.inc(evictions)

    finding = judge_indexes(generate_latest(registry).decode())

    assert finding.outcome is outcome
    assert "Indexes of 7 tenants take 3 MB" in finding.said


@pytest.mark.parametrize(
    ("seconds", "outcome"),
    [(0, Outcome.OK), (-2, Outcome.OK), (10, Outcome.WARNING), (-10, Outcome.WARNING), (3600, Outcome.PROBLEM)],
)
def test_clocks_that_differ(seconds: int, outcome: Outcome) -> None:
    assert judge_clock("Postgres", NOON + timedelta(seconds=seconds), NOON).outcome is outcome


@pytest.mark.parametrize(
    ("free", "outcome"), [(10**8, Outcome.PROBLEM), (10**9, Outcome.WARNING), (10**10, Outcome.OK)]
)
def test_a_disk_that_fills_up(free: int, outcome: Outcome) -> None:
    assert judge_disk(Path("/data"), free).outcome is outcome


def test_files_of_another_user_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests may run as root, whom nothing keeps out."""

    def refuse(_: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(embedded, "made_by", refuse)

    (finding,) = embedded.judge_embedded(Path("/data"))
    assert finding.said == "MEMORY_DATA_DIR: no permission for /data: it belongs to another user."


def server(**changed: Any) -> Server:
    given: Json = {
        "version_number": 180000,
        "version": "18.0",
        "clock": NOON,
        "read_only": False,
        "bytes": 10**7,
        "plan_cache_mode": "force_custom_plan",
        "pooled": False,
    }
    return Server(**given | changed)


def test_an_old_postgres_is_a_problem() -> None:
    assert outcomes(judge_server(server(version_number=130022, version="13.22"), 100)) == [
        ("database.server", Outcome.PROBLEM)
    ]


@pytest.mark.parametrize(("pooled", "cached", "told"), [(True, 100, True), (True, 0, False), (False, 100, False)])
def test_statements_that_are_prepared_behind_a_pooler(pooled: bool, cached: int, told: bool) -> None:
    found = judge_server(server(pooled=pooled), cached)

    assert ("database.pooler" in {finding.check for finding in found}) is told


def test_a_pooler_that_keeps_our_settings_to_itself() -> None:
    assert "do not arrive" in judge_server(server(plan_cache_mode="auto"), 0)[-1].said


def test_switches_that_are_on_or_do_no_harm() -> None:
    assert worst(judge_switches([])) is Outcome.OK
    assert outcomes(judge_switches(["autovacuum"])) == [("database.vacuum", Outcome.WARNING)]
    assert outcomes(judge_switches(["full_page_writes"])) == [("database.durability", Outcome.PROBLEM)]


@pytest.mark.parametrize(("role", "database", "allowed"), [(-1, -1, 97), (10, -1, 10), (50, 20, 20), (0, -1, 0)])
def test_the_least_of_the_limits_holds(role: int, database: int, allowed: int) -> None:
    assert ConnectionLimits(97, role, database, 0).allowed == allowed


def test_the_worst_finding_counts_and_what_was_skipped_does_not() -> None:
    found = [well("a", ""), skipped("b", "")]

    assert worst(found) is Outcome.OK
    assert worst([*found, warning("c", "", "")]) is Outcome.WARNING
    assert worst([warning("c", "", ""), problem("d", "", "")]) is Outcome.PROBLEM
