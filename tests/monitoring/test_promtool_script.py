""".ci/promtool.sh fetches promtool where it can, and is no reason for the other tests not to run where it cannot."""

import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from tests.paths import ROOT

WORKS = "#!/bin/sh\necho promtool, version 2.42\n"
# In the place of apt-get: finds the package beside the programs.
FINDS = 'case "$*" in *download*) cp "${0%/*}/package" prometheus_2.42_amd64.deb ;; esac'
FINDS_BY_LISTS_OF_ITS_OWN = (
    'case "$*" in'
    ' *Dir::State::lists=*update*) touch "${0%/*}/listed" ;;'
    ' *Dir::State::lists=*download*) test -e "${0%/*}/listed" && cp "${0%/*}/package" prometheus_2.42_amd64.deb ;;'
    " *) echo E: Unable to locate package prometheus; exit 100 ;; esac"
)
REACHES_NOBODY = "echo W: Failed to fetch something; echo E: Unable to locate package prometheus; exit 100"
SAYS_NOTHING = "exit 124"


class Machine:
    """A copy of the script, on a machine that has no more than the programs that are put there."""

    def __init__(self, directory: Path) -> None:
        self.tools = directory / ".tools"
        self._script = directory / ".ci" / "promtool.sh"
        self._programs = directory / "programs"
        self._script.parent.mkdir()
        self._programs.mkdir()
        for script in ("promtool.sh", "apt.sh"):
            shutil.copy(ROOT / ".ci" / script, self._script.parent)
        for each in ("bash", "sh", "dirname", "mktemp", "mkdir", "rm", "chmod", "cp", "cat", "touch", "grep", "tar"):
            (self._programs / each).symlink_to(shutil.which(each) or pytest.skip(f"needs {each}"))
        self.has("dpkg-deb", 'cat "$2"')
        self.has("timeout", 'echo "$@" >>"${0%/*}/timed"; shift 2; exec "$@"')
        self.packages(WORKS)

    def has(self, name: str, script: str) -> None:
        """A program."""
        path = self._programs / name
        path.write_text(f"#!{shutil.which('bash')}\n{script}\n")
        path.chmod(0o755)

    def lacks(self, name: str) -> None:
        """No such program."""
        (self._programs / name).unlink()

    def packages(self, promtool: str | None) -> None:
        """What Debian's package has in it; None: another program."""
        content = self._programs / "content"
        content.write_text(promtool or WORKS)
        with tarfile.open(self._programs / "package", "w") as package:
            package.add(content, "./usr/bin/promtool" if promtool is not None else "./usr/bin/prometheus")

    def damages_packages(self) -> None:
        """They are cut off."""
        (self._programs / "package").write_bytes(b"!<arch>")

    def timed(self) -> list[str]:
        """What was given a limit of time, with its arguments."""
        return (self._programs / "timed").read_text().splitlines()

    def run(self) -> str:
        """What the script says of trouble. It never fails."""
        environment = {**os.environ, "PATH": str(self._programs)}
        done = subprocess.run([self._script], env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stderr


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def runs(promtool: Path) -> bool:
    return "2.42" in subprocess.run([promtool, "--version"], capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("apt_get", [FINDS, FINDS_BY_LISTS_OF_ITS_OWN], ids=["by its lists", "by lists of our own"])
def test_promtool_is_fetched(machine: Machine, apt_get: str) -> None:
    machine.has("apt-get", apt_get)

    assert machine.run() == ""
    assert runs(machine.tools / "promtool")


def test_what_works_is_not_fetched_again(machine: Machine) -> None:
    machine.has("apt-get", FINDS)
    machine.run()
    machine.has("apt-get", REACHES_NOBODY)

    assert machine.run() == ""
    assert runs(machine.tools / "promtool")


def test_nothing_is_fetched_where_the_machine_has_promtool(machine: Machine) -> None:
    machine.has("promtool", "exit 0")

    assert machine.run() == ""
    assert not machine.tools.exists()


def test_what_does_not_run_is_fetched_anew(machine: Machine) -> None:
    machine.tools.mkdir()
    (machine.tools / "promtool").write_bytes(b"\x7fELF")
    machine.has("apt-get", FINDS)

    assert machine.run() == ""
    assert runs(machine.tools / "promtool")


@pytest.mark.parametrize(
    ("apt_get", "reason"),
    [
        (None, "there is no apt-get"),
        (REACHES_NOBODY, "apt-get: W: Failed to fetch something"),
        (SAYS_NOTHING, "apt-get: no answer within a minute"),
    ],
)
def test_without_a_package_one_line_says_why(machine: Machine, apt_get: str | None, reason: str) -> None:
    if apt_get is not None:
        machine.has("apt-get", apt_get)

    (line,) = machine.run().splitlines()
    assert line.startswith(f"notice: no promtool ({reason})")


@pytest.mark.parametrize(
    ("promtool", "reason"),
    [
        (None, "the package cannot be unpacked"),
        ("#!/bin/sh\nexit 1\n", "it does not run here"),
        ("\x7fELF", "it does not run here"),
    ],
    ids=["is not in it", "fails", "is for another machine"],
)
def test_a_package_of_no_use_leaves_nothing_behind(machine: Machine, promtool: str | None, reason: str) -> None:
    machine.has("apt-get", FINDS)
    machine.packages(promtool)

    (line,) = machine.run().splitlines()
    assert line.startswith(f"notice: no promtool ({reason})")
    assert not (machine.tools / "promtool").exists()


def test_a_package_that_is_cut_off_leaves_nothing_behind(machine: Machine) -> None:
    machine.has("apt-get", FINDS)
    machine.damages_packages()

    (line,) = machine.run().splitlines()
    assert line.startswith("notice: no promtool (the package cannot be unpacked)")
    assert not (machine.tools / "promtool").exists()


def test_where_nothing_can_be_written_one_line_says_so(machine: Machine) -> None:
    machine.has("apt-get", FINDS)
    machine.tools.touch()

    (line,) = machine.run().splitlines()
    assert line.startswith("notice: no promtool (.tools cannot be written)")


@pytest.mark.parametrize("program", ["dpkg-deb", "tar", "timeout"])
def test_each_program_that_is_needed_may_be_missing(machine: Machine, program: str) -> None:
    machine.has("apt-get", FINDS)
    machine.lacks(program)

    (line,) = machine.run().splitlines()
    assert line.startswith(f"notice: no promtool (there is no {program})")


def test_the_network_has_a_minute_each_time_and_no_second_try(machine: Machine) -> None:
    machine.has("apt-get", REACHES_NOBODY)
    machine.run()
    machine.has("apt-get", FINDS_BY_LISTS_OF_ITS_OWN)
    machine.run()

    assert len(machine.timed()) == 2 + 3
    for each in machine.timed():
        assert each.startswith("--kill-after=5 60 apt-get ")
        assert " Acquire::Retries=0 " in each
