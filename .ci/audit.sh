#!/usr/bin/env bash
# Holds the pinned packages against the published vulnerabilities. Skipped, with a notice, where their source is away.
set -euo pipefail
cd "$(dirname "$0")/.."

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
