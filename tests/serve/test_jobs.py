"""Ray jobs, submitted to the cluster that `make serve` starts."""

import gzip
import json
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.paths import ROOT
from tests.serve.launched_service import LaunchedService
from tests.serve.test_cluster import DEADLINE_SECONDS, message, wait_until

Json = dict[str, Any]

AGENT_MISSING = "No available agent"


def run(cluster: LaunchedService, *commands: str) -> str:
    """Return what a job prints that succeeds in all its commands. Ray starts what takes jobs after everything else."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    script = " && ".join(f"python -m {command}" for command in commands)
    while AGENT_MISSING in (done := cluster.run_job("sh", "-c", script)).stderr and time.monotonic() < deadline:
        time.sleep(1)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that jobs write into."""
    return tmp_path_factory.mktemp("jobs")


@pytest.fixture(scope="module")
def output(launched: LaunchedService, files: Path) -> str:
    """Run what needs no other result as one job of Ray: each submission takes five seconds more."""
    log = files / "log.jsonl"
    log.write_text('{"messages": [{"role": "user", "content": "Ana moved to Lisbon."}]}\n')
    return run(
        launched,
        f"jobs.evaluate tests/retrieval/garden-shop.jsonl --out {files}",
        f"jobs.tenants import {log} --tenant moving",
        f"jobs.tenants export moving {files / 'moved.jsonl.gz'}",
        "jobs.retention --dry-run",
    )


def test_an_evaluation_runs_as_a_ray_job(output: str, files: Path) -> None:
    assert "recall@10" in output
    (dataset,) = json.loads((files / "results.json").read_text())["datasets"]
    assert dataset["questions"] == 26
    assert (files / "report.html").exists()


def test_the_doctor_finds_nothing_wrong_as_a_ray_job(cluster: LaunchedService) -> None:
    """With the embedded Postgres that the service runs on, and its own way to the dashboard."""
    service, dashboard = (f"http://127.0.0.1:{port}" for port in (cluster.port, cluster.dashboard_port))
    output = run(cluster, f"jobs.doctor --url {service} --dashboard {dashboard}")

    for words in (
        "The application memory runs, with 8 replicas.",
        f"Version {version('ai-memory-layer')} answers, and is well.",
        "The pools of serve_config.yaml add up to",
        "The pools of the running cluster add up to",
        "The embedded Postgres 18 of",
        "local embeds with wordllama/l2_supercat",
    ):
        assert words in output
    assert "There is no API key" in output


def old_messages(client: httpx.Client, tenant_id: str, count: int) -> None:
    """Store messages of two months ago, and a younger one for each, and wait until they are scored."""
    old = {"created_at": (datetime.now(UTC) - timedelta(days=60)).isoformat(), "importance_override": 0.1}
    for number in range(count):
        for fields in (old, {}):
            body = message(f"note {number}", tenant_id) | fields
            assert client.post("/v1/messages", json=body).status_code == 202
    wait_until(lambda: client.get("/v1/admin/health").json()["pending_embeddings"] == 0)


def test_retention_runs_as_a_job_of_ray_and_is_undone_by_another(client: httpx.Client) -> None:
    tenant_id = uuid4().hex
    old_messages(client, tenant_id, 3)

    def finished(answer: httpx.Response) -> Json:
        assert answer.status_code in {200, 202}, answer.text
        path = f"/v1/admin/retention/runs/{answer.json()['run_id']}"
        wait_until(lambda: client.get(path).json()["status"] != "running")
        found: Json = client.get(path).json()
        return found

    request = {"tenant_id": tenant_id, "actions": ["archive"], "wait_seconds": 20}
    plan = finished(client.post("/v1/admin/retention/run", json={**request, "dry_run": True}))
    applies = {"run_id": plan["run_id"], "dry_run": False, "actions": ["archive"]}
    applied = finished(client.post("/v1/admin/retention/run", json=applies))
    undone = finished(client.post(f"/v1/admin/retention/runs/{applied['run_id']}/undo"))

    assert (plan["status"], plan["archived"]) == ("completed", 3)
    assert (applied["status"], applied["archived"]) == ("completed", 3)
    assert (undone["status"], undone["restored"]) == ("completed", 3)


def test_a_dry_run_of_retention_is_submitted_by_hand(output: str, client: httpx.Client) -> None:
    listed = client.get("/v1/admin/retention/runs", params={"limit": 200}).json()["items"]

    (found,) = [each for each in listed if each["requested_by"] == "job"]
    assert (found["dry_run"], found["status"]) == (True, "completed")
    assert found["run_id"] in output


def test_the_schedule_ran_once_for_all_replicas(client: httpx.Client) -> None:
    def scheduled() -> list[Json]:
        listed: list[Json] = client.get("/v1/admin/retention/runs", params={"limit": 200}).json()["items"]
        return [run for run in listed if run["requested_by"] == "schedule"]

    wait_until(lambda: bool(scheduled()) and scheduled()[0]["status"] == "completed")
    assert len(scheduled()) == 1


@pytest.mark.usefixtures("output")
def test_a_tenant_is_taken_in_and_moved_by_ray_jobs(cluster: LaunchedService, files: Path) -> None:
    moved = gzip.decompress((files / "moved.jsonl.gz").read_bytes()).splitlines()

    assert json.loads(moved[1])["content"] == "Ana moved to Lisbon."
    listed = cluster.request("/v1/messages?tenant_id=moving")["items"]
    assert [each["content"] for each in listed] == ["Ana moved to Lisbon."]


def test_a_reembedding_runs_as_a_ray_job_and_no_replica_restarts(cluster: LaunchedService) -> None:
    """There as a job on the cluster, and back by itself beside it."""
    replicas = {deployment: cluster.replicas(deployment) for deployment in ("Search", "Embedding")}
    said = {"tenant_id": "reembedded", "conversation_id": "c1", "role": "user", "content": "Apples are in the cellar."}
    stored = cluster.request("/v1/messages", said)
    run(cluster, "jobs.reembed --provider local --dimensions 128")
    assert_found(cluster, stored["id"])
    for way in ("--back", "--drop"):
        left = subprocess.run(
            [sys.executable, "-m", "jobs.reembed", way],
            cwd=ROOT,
            env=cluster.environment,
            capture_output=True,
            check=False,
        )
        assert left.returncode == 0, left.stderr
        assert_found(cluster, stored["id"])
    assert {deployment: cluster.replicas(deployment) for deployment in replicas} == replicas


def assert_found(cluster: LaunchedService, message_id: str) -> None:
    answer = cluster.request("/v1/memory/search?tenant_id=reembedded&query=where+is+the+fruit")
    assert not answer["degraded"]
    assert [hit["message_id"] for hit in answer["items"]] == [message_id]
