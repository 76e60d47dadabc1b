""".ci/promtool.sh fetches promtool where it can, and is no reason for the other tests not to run where it cannot."""

import subprocess
import tarfile
from pathlib import Path

import pytest

from tests.ci_script import REACHES_NOBODY, SAYS_NOTHING, ScriptMachine, finds, finds_by_lists_of_its_own

WORKS = "#!/bin/sh\necho promtool, version 2.42\n"
FINDS = finds("prometheus")
FINDS_BY_LISTS_OF_ITS_OWN = finds_by_lists_of_its_own("prometheus")


class Machine(ScriptMachine):
    """A machine on which Debian's package has a promtool in it."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, "promtool.sh")
        self.packages(WORKS)

    def packages(self, promtool: str | None) -> None:
        """What Debian's package has in it; None: another program."""
        content = self.programs / "content"
        content.write_text(promtool or WORKS)
        with tarfile.open(self.programs / "package", "w") as package:
            package.add(content, "./usr/bin/promtool" if promtool is not None else "./usr/bin/prometheus")


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
