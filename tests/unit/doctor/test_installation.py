"""What shares an environment with the service, and what the wheel puts into one."""

import subprocess
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path

import pytest

from jobs.doctor.findings import Outcome
from jobs.doctor.installation import DISTRIBUTION, PACKAGES, judge_owners
from tests.paths import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGING = PROJECT["tool"]["setuptools"]
SCRIPTS = PROJECT["project"]["scripts"]
JOB_SCRIPT = "memory-layer-{job}"


def test_another_owner_of_a_package_is_a_problem() -> None:
    (finding,) = judge_owners({"jobs": [DISTRIBUTION, "their-app", DISTRIBUTION], "migrations": [DISTRIBUTION]})

    assert finding.outcome is Outcome.PROBLEM
    assert finding.said.startswith("their-app also installs a package jobs:")


def test_an_environment_of_its_own_is_well() -> None:
    (finding,) = judge_owners({package: [DISTRIBUTION, DISTRIBUTION] for package in PACKAGES} | {"numpy": ["numpy"]})

    assert finding.outcome is Outcome.OK


def test_the_wheel_installs_the_packages_that_the_doctor_looks_at() -> None:
    assert PACKAGING["packages"]["find"]["include"] == [f"{package}*" for package in PACKAGES]


@pytest.mark.parametrize("package", PACKAGES)
def test_the_wheel_has_the_files_that_are_not_python(package: str) -> None:
    folder = ROOT / package
    packed = {path for pattern in PACKAGING["package-data"][package] for path in folder.glob(pattern)}
    there = {path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts}

    assert {path for path in there if path.suffix != ".py"} == packed


def test_every_job_has_a_console_script() -> None:
    jobs = {path.stem for path in (ROOT / "jobs").glob("*.py") if 'if __name__ == "__main__"' in path.read_text()}
    jobs |= {path.parent.name for path in (ROOT / "jobs").glob("*/__main__.py")}

    assert {name for name, target in SCRIPTS.items() if target == "jobs.console_scripts:main"} == {
        JOB_SCRIPT.format(job=job) for job in jobs
    }


def test_the_other_console_scripts_name_functions() -> None:
    for target in set(SCRIPTS.values()):
        module, _, function = target.partition(":")
        spec = find_spec(module)
        assert spec is not None
        assert spec.origin is not None
        assert f"def {function}(" in Path(spec.origin).read_text()


def test_a_console_script_does_what_the_module_does(tmp_path: Path) -> None:
    script = tmp_path / JOB_SCRIPT.format(job="keys")
    script.write_text("from jobs.console_scripts import main\nmain()\n")

    done = subprocess.run(
        [sys.executable, script, "revoke", "nothing"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 2
    assert done.stderr.startswith("usage: python -m jobs.keys revoke")
