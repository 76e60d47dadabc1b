#!/usr/bin/env bash
# Puts Prometheus' promtool, which tests the alert rules, into .tools, where the machine has none of its own. Taken from
# Debian's package without installing it: no daemon is started, no user made, and no root needed. Where that cannot be
# done, it says so and the tests that need it are skipped: never a reason for the other tests not to run.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 0
. .ci/apt.sh

# Run where it stays: what is not Linux for this processor, or lies where nothing may be run, is of no use.
runs() { [ -x "$1" ] && "$1" --version >/dev/null 2>&1; }

if command -v promtool >/dev/null || runs .tools/promtool; then
    exit 0
fi

unavailable() {
    rm -f .tools/promtool 2>/dev/null
    echo "notice: no promtool ($1): the tests of deploy/prometheus are skipped. Debian: apt-get install prometheus" >&2
    exit 0
}

prepare
echo "- fetching promtool ..."
download prometheus
files_of prometheus | tar -xO ./usr/bin/promtool 2>/dev/null >.tools/promtool || unavailable "the package cannot be unpacked"
chmod +x .tools/promtool && runs .tools/promtool || unavailable "it does not run here"
