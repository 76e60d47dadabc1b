#!/usr/bin/env bash
# Makes .venv and installs the pinned packages and this one into it.
set -euo pipefail
cd "$(dirname "$0")/.."

python="${PYTHON:-python3}"

if ! command -v "$python" >/dev/null; then
    echo "error: no $python here. Install Python 3.11, 3.12 or 3.13, or name one: make PYTHON=/path/to/python3.12" >&2
    exit 1
fi
if ! "$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))'; then
    echo "error: $("$python" --version) is not supported: 3.11, 3.12 or 3.13 is. Name one: make PYTHON=python3.12" >&2
    exit 1
fi

# Debian and Ubuntu keep what `venv` needs in a package of its own.
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    package="$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')"
    as_root=()
    [ "$(id -u)" -eq 0 ] || as_root=(sudo)
    if ! command -v apt-get >/dev/null || { [ "$(id -u)" -ne 0 ] && ! command -v sudo >/dev/null; }; then
        echo "error: $python has no venv and ensurepip. Install them (Debian, Ubuntu: $package), then try again" >&2
        exit 1
    fi
    echo "- installing $package, which .venv needs ..."
    "${as_root[@]}" apt-get update -qq
    "${as_root[@]}" apt-get install -y -qq --no-install-recommends "$package"
fi

began=$SECONDS
count="$(grep -c '==' requirements.lock)"
echo "- making .venv with $("$python" --version) ..."
# Not whole where an earlier run was interrupted.
.venv/bin/python -m pip --version >/dev/null 2>&1 || "$python" -m venv --clear .venv
echo "- installing $count pinned packages, one to three minutes the first time (1 GB on disk) ..."
# One line per package, so that a long download says which one it is.
.venv/bin/python -m pip install --progress-bar off -r requirements.lock |
    sed -u -n -e 's/^Collecting \([^ ]*==[^ ]*\).*/  \1/p' -e 's/^Installing collected.*/- unpacking them .../p'
echo "- installing this package ..."
.venv/bin/python -W ignore -m pip install --quiet --no-deps --no-build-isolation --editable . 2>&1 |
    { grep -i '^ *error' || true; }
echo "  done in $((SECONDS - began)) s"
