#!/usr/bin/env bash
# Reads our code for what is known to be unsafe, and holds the pinned packages against the published vulnerabilities;
# the latter is skipped, with a notice, where their source is away.
set -euo pipefail
cd "$(dirname "$0")/.."

# It also warns of each exception that one of several findings on a line did not need.
.venv/bin/bandit --quiet --configfile pyproject.toml --recursive serve_app deployments jobs migrations loadtests deploy \
    2> >(grep -v 'nosec encountered' >&2)

report="$(mktemp)"
trap 'rm -f "$report"' EXIT

# Its exit status is 1 for a vulnerability as for a source that is away: the report tells them apart.
timeout 120 .venv/bin/python -m pip_audit --requirement requirements.lock --no-deps --disable-pip --timeout 5 \
    --progress-spinner off --format json --output "$report" >/dev/null 2>&1 || true

.venv/bin/python - "$report" <<'JUDGE'
import json
import sys
from pathlib import Path

text = Path(sys.argv[1]).read_text()
packages = json.loads(text)["dependencies"] if text else []
audited = [package for package in packages if "skip_reason" not in package]
found = [f"{each['name']} {each['version']}: {bug['id']}" for each in audited for bug in each["vulns"]]
if not audited:
    print("notice: pip-audit was skipped: the source of known vulnerabilities cannot be reached from here")
else:
    print(f"pip-audit: {len(audited)} of {len(packages)} packages held against known vulnerabilities, {len(found)} found")
sys.exit("\n".join(found) or 0)
JUDGE
