#!/usr/bin/env bash
# All tests: those without a cluster side by side, then those with one, which need the machine for themselves.
set -uo pipefail
cd "$(dirname "$0")/.."

status=0
.ci/promtool.sh || status=$?
.ci/locale.sh || status=$?
.venv/bin/pytest -n 2 --ignore=tests/serve "$@" || status=$?
.venv/bin/pytest tests/serve "$@" || status=$?
exit "$status"
