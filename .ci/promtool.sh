#!/usr/bin/env bash
# Puts Prometheus' promtool, which tests the alert rules, into .tools, where the machine has none of its own. Taken from
# Debian's package without installing it: no daemon is started, no user made, and no root needed. Where that cannot be
# done, it says so and the tests that need it are skipped: never a reason for the other tests not to run.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 0

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

for needed in apt-get dpkg-deb tar timeout; do
    command -v "$needed" >/dev/null || unavailable "there is no $needed"
done
work="$(mktemp -d 2>/dev/null)" || unavailable "no room for temporary files"
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/lists/partial" "$work/cache/archives/partial" .tools 2>/dev/null || unavailable ".tools cannot be written"

# Each step has a minute. "root" is apt's word for: go on as who you are.
apt() {
    (cd "$work" && timeout --kill-after=5 60 apt-get -qq -o Acquire::Retries=0 -o APT::Sandbox::User=root "$@" >>log 2>&1)
}
why() { grep -m 1 . "$work/log" || echo "no answer within a minute"; }

# The machine's own lists of packages where they are there and still hold; lists of our own else, which needs no root.
own=(-o "Dir::State::lists=$work/lists" -o "Dir::Cache=$work/cache" -o Debug::NoLocking=1)
echo "- fetching promtool ..."
if ! apt download prometheus; then
    : >"$work/log"
    apt "${own[@]}" update && apt "${own[@]}" download prometheus || unavailable "apt-get: $(why)"
fi

dpkg-deb --fsys-tarfile "$work"/prometheus_*.deb 2>/dev/null | tar -xO ./usr/bin/promtool 2>/dev/null >.tools/promtool ||
    unavailable "the package cannot be unpacked"
chmod +x .tools/promtool && runs .tools/promtool || unavailable "it does not run here"
