"""A script of .ci on a machine that has no more than the programs that a test puts there."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.paths import ROOT

REACHES_NOBODY = "echo W: Failed to fetch something; echo E: Unable to locate package; exit 100"
SAYS_NOTHING = "exit 124"
_PROGRAMS = ("bash", "sh", "dirname", "mktemp", "mkdir", "rm", "chmod", "cp", "cat", "touch", "grep", "tar", "mv")


def finds(package: str) -> str:
    """Return an apt-get that finds the package beside the programs."""
    return f'case "$*" in *download*) cp "${{0%/*}}/package" {package}_2.42_amd64.deb ;; esac'


def finds_by_lists_of_its_own(package: str) -> str:
    """Return an apt-get that finds the package only by lists outside the machine's own."""
    return (
        'case "$*" in'
        ' *Dir::State::lists=*update*) touch "${0%/*}/listed" ;;'
        ' *Dir::State::lists=*download*) test -e "${0%/*}/listed" &&'
        f' cp "${{0%/*}}/package" {package}_2.42_amd64.deb ;;'
        f" *) echo E: Unable to locate package {package}; exit 100 ;; esac"
    )


class ScriptMachine:
    """A copy of the script, and the machine that it runs on."""

    def __init__(self, directory: Path, script: str) -> None:
        self.tools = directory / ".tools"
        self.programs = directory / "programs"
        self._script = directory / ".ci" / script
        self._script.parent.mkdir()
        self.programs.mkdir()
        for each in (script, "apt.sh"):
            shutil.copy(ROOT / ".ci" / each, self._script.parent)
        for each in _PROGRAMS:
            (self.programs / each).symlink_to(shutil.which(each) or pytest.skip(f"needs {each}"))
        self.has("dpkg-deb", 'cat "$2"')
        self.has("timeout", 'echo "$@" >>"${0%/*}/timed"; shift 2; exec "$@"')

    def has(self, name: str, script: str) -> None:
        """Add a program."""
        path = self.programs / name
        path.write_text(f"#!{shutil.which('bash')}\n{script}\n")
        path.chmod(0o755)

    def lacks(self, name: str) -> None:
        """Remove a program."""
        (self.programs / name).unlink()

    def damages_packages(self) -> None:
        """Cut the package off."""
        (self.programs / "package").write_bytes(b"!<arch>")

    def timed(self) -> list[str]:
        """Return the commands that had a time limit, with their arguments."""
        return (self.programs / "timed").read_text().splitlines()

    def run(self) -> str:
        """Run the script, which never fails. Return its stderr."""
        environment = {**os.environ, "PATH": str(self.programs)}
        done = subprocess.run([self._script], env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stderr
