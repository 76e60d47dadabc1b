"""Ray jobs, submitted to the cluster that `make serve` starts."""

import json
import time
from pathlib import Path

from tests.serve.launched_service import LaunchedService

DEADLINE_SECONDS = 60
AGENT_MISSING = "No available agent"


def test_an_evaluation_runs_as_a_ray_job(cluster: LaunchedService, tmp_path: Path) -> None:
    command = ("python", "-m", "jobs.evaluate", "tests/retrieval/garden-shop.jsonl", "--out", str(tmp_path))
    deadline = time.monotonic() + DEADLINE_SECONDS
    # Ray starts what takes jobs after everything else.
    while AGENT_MISSING in (done := cluster.run_job(*command)).stderr and time.monotonic() < deadline:
        time.sleep(1)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "recall@10" in done.stdout + done.stderr
    (dataset,) = json.loads((tmp_path / "results.json").read_text())["datasets"]
    assert dataset["questions"] == 26
    assert (tmp_path / "report.html").exists()
