#!/usr/bin/env bash
# All tests: those without a cluster side by side, then those with one, which need the machine for themselves.
set -uo pipefail
cd "$(dirname "$0")/.."

status=0
.ci/promtool.sh || status=$?
.ci/locale.sh || status=$?
# Each worker goes through a half in its order, so that a module's fixtures are made once, and takes of the other's rest.
.venv/bin/pytest -n 2 --dist worksteal --ignore=tests/serve "$@" || status=$?
.venv/bin/pytest tests/serve "$@" || status=$?
exit "$status"
