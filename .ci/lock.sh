#!/usr/bin/env bash
# Writes requirements.lock: names and versions only, for every supported Python.
set -euo pipefail
cd "$(dirname "$0")/.."

CUSTOM_COMPILE_COMMAND="make lock" .venv/bin/pip-compile --extra dev --strip-extras --all-build-deps \
    --allow-unsafe --no-emit-index-url --no-emit-find-links --no-emit-trusted-host \
    --annotation-style line --quiet "$@" --output-file requirements.lock pyproject.toml
