#!/usr/bin/env bash
# Puts Prometheus' promtool, which tests the alert rules, into .tools, where the machine has none of its own. Taken from
# Debian's package without installing it: no daemon is started, no user made, and no root needed. Where that cannot be
# done, it says so and the tests that need it are skipped.
set -euo pipefail
cd "$(dirname "$0")/.."

if command -v promtool >/dev/null || [ -x .tools/promtool ]; then
    exit 0
fi

unavailable() {
    echo "notice: no promtool ($1): the tests of deploy/prometheus are skipped. Debian: apt-get install prometheus" >&2
    exit 0
}

command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || unavailable "this is no Debian"

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/lists/partial" "$work/cache/archives/partial"

# The machine's own lists of packages where they are there and still hold; lists of our own else, which needs no root.
download() { (cd "$work" && timeout 300 apt-get -qq "$@" download prometheus >"$work/log" 2>&1); }
own=(-o "Dir::State::lists=$work/lists" -o "Dir::Cache=$work/cache" -o APT::Sandbox::User="$(id -un)" -o Debug::NoLocking=1)
echo "- fetching promtool ..."
if ! download -o APT::Sandbox::User="$(id -un)"; then
    timeout 300 apt-get -qq "${own[@]}" update >"$work/log" 2>&1 && download "${own[@]}" ||
        unavailable "apt-get: $(tail -n 1 "$work/log")"
fi

mkdir -p .tools
dpkg-deb --fsys-tarfile "$work"/prometheus_*.deb | tar -xO ./usr/bin/promtool >"$work/promtool"
chmod +x "$work/promtool"
"$work/promtool" --version >/dev/null
mv "$work/promtool" .tools/promtool
