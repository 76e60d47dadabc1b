#!/usr/bin/env bash
# Compiles the locale en_US.UTF-8 into .tools/locale if the machine has none. The tests of databases with this LC_CTYPE
# start Postgres with LOCPATH=.tools/locale. The sources are in Debian's package locales, which is not installed. On
# failure a notice gives the reason, those tests are skipped, and the exit code is 0.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 0
. .ci/apt.sh

# The character set that the C library loads for en_US.UTF-8. Without the locale it is that of C, which is ASCII.
loads() { [ "$(LC_ALL=en_US.UTF-8 locale charmap 2>/dev/null)" = UTF-8 ]; }
loads_own() { LOCPATH="$PWD/.tools/locale" loads; }

if loads || loads_own; then
    exit 0
fi

unavailable() {
    echo "notice: no locale en_US.UTF-8 ($1): the tests of databases with it are skipped. Debian: apt-get install locales-all" >&2
    exit 0
}

prepare localedef locale
echo "- compiling the locale en_US.UTF-8 ..."
download locales
files_of locales | tar -x -C "$work" ./usr/share/i18n 2>/dev/null || unavailable "the package cannot be unpacked"
mkdir "$work/locale" && I18NPATH="$work/usr/share/i18n" localedef --no-archive -i en_US -f UTF-8 "$work/locale/en_US.UTF-8" \
    >/dev/null 2>&1 || unavailable "localedef fails"
# Renamed when complete: two test processes may run this script at once. As root, Postgres runs as another user.
made="$(mktemp -d .tools/locale.XXXXXX)" && cp -R "$work/locale/." "$made" && chmod -R a+rX "$made" ||
    unavailable ".tools cannot be written"
loads_own || rm -rf .tools/locale
mv -T "$made" .tools/locale 2>/dev/null || rm -rf "$made"
loads_own || unavailable "the C library does not load it"
