# shellcheck shell=bash
# Sourced by scripts that unpack a Debian package without installing it: no daemon is started, no user is created, and
# root is not needed. The script defines unavailable REASON, which exits.

# Checks that the programs exist which this file and its caller ($@) need. Creates the temporary directory $work.
prepare() {
    for needed in apt-get dpkg-deb tar timeout "$@"; do
        command -v "$needed" >/dev/null || unavailable "there is no $needed"
    done
    work="$(mktemp -d 2>/dev/null)" || unavailable "no room for temporary files"
    trap 'rm -rf "$work"' EXIT
    mkdir -p "$work/lists/partial" "$work/cache/archives/partial" .tools 2>/dev/null ||
        unavailable ".tools cannot be written"
}

# Each step has a minute. "root" is apt's word for: go on as who you are.
apt() {
    (cd "$work" && timeout --kill-after=5 60 apt-get -qq -o Acquire::Retries=0 -o APT::Sandbox::User=root "$@" >>log 2>&1)
}
why() { grep -m 1 . "$work/log" || echo "no answer within a minute"; }

# Downloads the package $1 into $work. The machine's package lists are tried first, then lists in $work, which need no
# root.
download() {
    local own=(-o "Dir::State::lists=$work/lists" -o "Dir::Cache=$work/cache" -o Debug::NoLocking=1)
    if ! apt download "$1"; then
        : >"$work/log"
        apt "${own[@]}" update && apt "${own[@]}" download "$1" || unavailable "apt-get: $(why)"
    fi
}

# Writes the files of the downloaded package $1 to stdout as a tar archive.
files_of() { dpkg-deb --fsys-tarfile "$work/$1"_*.deb 2>/dev/null; }
