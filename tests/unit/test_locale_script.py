""".ci/locale.sh compiles en_US.UTF-8 where it can, and does not keep the other tests from running where it cannot."""

import tarfile
from pathlib import Path

import pytest

from tests.ci_script import REACHES_NOBODY, SAYS_NOTHING, ScriptMachine, finds, finds_by_lists_of_its_own

FINDS = finds("locales")
# As the C library: the locale is found through LOCPATH, and without it the character set is ASCII.
LOADS = '[ -e "${LOCPATH:-}/en_US.UTF-8/LC_CTYPE" ] && echo UTF-8 || echo ANSI_X3.4-1968'
COMPILES = '[ -e "$I18NPATH/locales/en_US" ] && mkdir -p "${@: -1}" && touch "${@: -1}/LC_CTYPE"'


class Machine(ScriptMachine):
    """A machine that has no locale, and on which Debian's package has the sources of one."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, "locale.sh")
        self.locale = self.tools / "locale" / "en_US.UTF-8"
        self.has("locale", LOADS)
        self.has("localedef", COMPILES)
        source = self.programs / "source"
        source.touch()
        with tarfile.open(self.programs / "package", "w") as package:
            package.add(source, "./usr/share/i18n/locales/en_US")


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.mark.parametrize(
    "apt_get", [FINDS, finds_by_lists_of_its_own("locales")], ids=["by its lists", "by lists of our own"]
)
def test_locale_is_compiled(machine: Machine, apt_get: str) -> None:
    machine.has("apt-get", apt_get)

    assert machine.run() == ""
    assert list(machine.locale.iterdir()) == [machine.locale / "LC_CTYPE"]
    assert list(machine.tools.iterdir()) == [machine.tools / "locale"]


def test_every_user_can_read_the_locale(machine: Machine) -> None:
    machine.has("apt-get", FINDS)
    machine.run()

    for path in (machine.tools / "locale", machine.locale):
        assert path.stat().st_mode & 0o555 == 0o555


def test_compiled_locale_is_kept(machine: Machine) -> None:
    machine.has("apt-get", FINDS)
    machine.run()
    machine.has("apt-get", REACHES_NOBODY)

    assert machine.run() == ""


def test_locale_of_the_machine_is_used(machine: Machine) -> None:
    machine.has("locale", "echo UTF-8")

    assert machine.run() == ""
    assert not machine.tools.exists()


def test_damaged_locale_is_replaced(machine: Machine) -> None:
    machine.locale.mkdir(parents=True)
    machine.has("apt-get", FINDS)

    assert machine.run() == ""
    assert (machine.locale / "LC_CTYPE").exists()


@pytest.mark.parametrize(
    ("apt_get", "reason"),
    [
        (None, "there is no apt-get"),
        (REACHES_NOBODY, "apt-get: W: Failed to fetch something"),
        (SAYS_NOTHING, "apt-get: no answer within a minute"),
    ],
)
def test_without_a_package_one_line_gives_the_reason(machine: Machine, apt_get: str | None, reason: str) -> None:
    if apt_get is not None:
        machine.has("apt-get", apt_get)

    (line,) = machine.run().splitlines()
    assert line.startswith(f"notice: no locale en_US.UTF-8 ({reason})")


@pytest.mark.parametrize(
    ("program", "script", "reason"),
    [
        ("localedef", "exit 1", "localedef fails"),
        ("localedef", 'mkdir -p "${@: -1}"', "the C library does not load it"),
        ("dpkg-deb", "exit 2", "the package cannot be unpacked"),
    ],
)
def test_failed_step_is_the_reason(machine: Machine, program: str, script: str, reason: str) -> None:
    machine.has("apt-get", FINDS)
    machine.has(program, script)

    (line,) = machine.run().splitlines()
    assert line.startswith(f"notice: no locale en_US.UTF-8 ({reason})")


@pytest.mark.parametrize("program", ["dpkg-deb", "tar", "timeout", "localedef", "locale"])
def test_missing_program_is_the_reason(machine: Machine, program: str) -> None:
    machine.has("apt-get", FINDS)
    machine.lacks(program)

    (line,) = machine.run().splitlines()
    assert line.startswith(f"notice: no locale en_US.UTF-8 (there is no {program})")
