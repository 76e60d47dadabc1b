"""What may not be imported too early."""

import subprocess
import sys

from tests.paths import ROOT


def test_what_runs_before_ray_is_set_up_does_not_import_it() -> None:
    """Ray reads its environment when it is imported, and the launcher has to set that first."""
    runtime = "deployments.runtime.connection_budget, deployments.runtime.capacity"
    early = f"serve_app.launch, deployments.storage.postgres.schema, {runtime}"
    code = f"import sys, {early}; sys.exit('ray' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_a_replica_does_not_hold_what_it_seldom_needs() -> None:
    """Alembic with SQLAlchemy takes 20 MB in each replica, the client of Ray's jobs 10 MB."""
    servers = "serve_app.ingress, deployments.search.server, deployments.embedding.server, deployments.metrics.server"
    code = f"import sys, {servers}; print(*{{'alembic', 'sqlalchemy', 'ray.job_submission'}} & {{*sys.modules}})"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)

    assert result.stdout.split() == []
