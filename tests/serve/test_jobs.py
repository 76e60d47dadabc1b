"""Ray jobs, submitted to the cluster that `make serve` starts."""

import gzip
import json
import time
from pathlib import Path

from tests.serve.launched_service import LaunchedService

DEADLINE_SECONDS = 60
AGENT_MISSING = "No available agent"


def run(cluster: LaunchedService, module: str, *arguments: str) -> str:
    """What a job prints that succeeds."""
    command = ("python", "-m", module, *arguments)
    deadline = time.monotonic() + DEADLINE_SECONDS
    # Ray starts what takes jobs after everything else.
    while AGENT_MISSING in (done := cluster.run_job(*command)).stderr and time.monotonic() < deadline:
        time.sleep(1)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_an_evaluation_runs_as_a_ray_job(cluster: LaunchedService, tmp_path: Path) -> None:
    output = run(cluster, "jobs.evaluate", "tests/retrieval/garden-shop.jsonl", "--out", str(tmp_path))

    assert "recall@10" in output
    (dataset,) = json.loads((tmp_path / "results.json").read_text())["datasets"]
    assert dataset["questions"] == 26
    assert (tmp_path / "report.html").exists()


def test_a_tenant_is_taken_in_and_moved_by_ray_jobs(cluster: LaunchedService, tmp_path: Path) -> None:
    log, moved = tmp_path / "log.jsonl", tmp_path / "moved.jsonl.gz"
    log.write_text('{"messages": [{"role": "user", "content": "Ana moved to Lisbon."}]}\n')

    run(cluster, "jobs.tenants", "import", str(log), "--tenant", "moving")
    run(cluster, "jobs.tenants", "export", "moving", str(moved))

    assert json.loads(gzip.decompress(moved.read_bytes()).splitlines()[1])["content"] == "Ana moved to Lisbon."
    listed = cluster.request("/v1/messages?tenant_id=moving")["items"]
    assert [each["content"] for each in listed] == ["Ana moved to Lisbon."]
