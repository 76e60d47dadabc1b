"""What may not be imported too early."""

import subprocess
import sys

from tests.paths import ROOT


def test_what_runs_before_ray_is_set_up_does_not_import_it() -> None:
    """Ray reads its environment when it is imported, and the launcher has to set that first."""
    early = "serve_app.launch, deployments.connections, deployments.storage.schema, deployments.capacity"
    code = f"import sys, {early}; sys.exit('ray' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
