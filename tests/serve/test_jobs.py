"""Ray jobs, submitted to the cluster that `make serve` starts."""

import json
import subprocess
import sys
import time
from pathlib import Path

from tests.paths import ROOT
from tests.serve.launched_service import LaunchedService

DEADLINE_SECONDS = 60
AGENT_MISSING = "No available agent"


def submitted(cluster: LaunchedService, *command: str) -> "subprocess.CompletedProcess[str]":
    """A job that has run."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    # Ray starts what takes jobs after everything else.
    while AGENT_MISSING in (done := cluster.run_job(*command)).stderr and time.monotonic() < deadline:
        time.sleep(1)
    return done


def test_an_evaluation_runs_as_a_ray_job(cluster: LaunchedService, tmp_path: Path) -> None:
    command = ("python", "-m", "jobs.evaluate", "tests/retrieval/garden-shop.jsonl", "--out", str(tmp_path))
    done = submitted(cluster, *command)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "recall@10" in done.stdout + done.stderr
    (dataset,) = json.loads((tmp_path / "results.json").read_text())["datasets"]
    assert dataset["questions"] == 26
    assert (tmp_path / "report.html").exists()


def test_a_reembedding_runs_as_a_ray_job_and_no_replica_restarts(cluster: LaunchedService) -> None:
    """There as a job on the cluster, and back by itself beside it."""
    replicas = {deployment: cluster.replicas(deployment) for deployment in ("Search", "Embedding")}
    said = {"tenant_id": "reembedded", "conversation_id": "c1", "role": "user", "content": "Apples are in the cellar."}
    stored = cluster.request("/v1/messages", said)
    command = ("python", "-m", "jobs.reembed")
    done = submitted(cluster, *command, "--provider", "local", "--dimensions", "128")
    assert done.returncode == 0, done.stdout + done.stderr
    assert_found(cluster, stored["id"])
    for way in ("--back", "--drop"):
        left = subprocess.run(
            [sys.executable, *command[1:], way], cwd=ROOT, env=cluster.environment, capture_output=True, check=False
        )
        assert left.returncode == 0, left.stderr
        assert_found(cluster, stored["id"])
    assert {deployment: cluster.replicas(deployment) for deployment in replicas} == replicas


def assert_found(cluster: LaunchedService, message_id: str) -> None:
    answer = cluster.request("/v1/memory/search?tenant_id=reembedded&query=where+is+the+fruit")
    assert not answer["degraded"]
    assert [hit["message_id"] for hit in answer["items"]] == [message_id]
