"""The variables that the cluster runs under: Ray ignores a name that it does not know."""

import importlib.util
import stat
from functools import cache
from pathlib import Path

import pytest

from deployments.errors import ConfigurationError
from serve_app.launcher.cluster_environment import IDLE_INTERVALS, cluster_environment, make_run_directory


@cache
def ray_package() -> Path:
    package = importlib.util.find_spec("ray")
    assert package is not None
    assert package.origin is not None
    return Path(package.origin).parent


@cache
def read_by_python() -> str:
    return "".join(path.read_text(errors="replace") for path in ray_package().rglob("*.py"))


@cache
def read_by_raylet() -> bytes:
    return (ray_package() / "core" / "src" / "ray" / "raylet" / "raylet").read_bytes()


@pytest.mark.parametrize("name", IDLE_INTERVALS)
def test_the_installed_ray_reads_each_interval(name: str) -> None:
    setting = name.removeprefix("RAY_")
    if setting.islower():
        assert b"\0" + setting.encode() + b"\0" in read_by_raylet()
    else:
        assert f'"{name}"' in read_by_python()


def test_a_cluster_has_the_intervals() -> None:
    assert cluster_environment(Path("/run/memory")).items() >= IDLE_INTERVALS.items()


def test_the_run_directory_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    directory = tmp_path / "run"

    make_run_directory(directory)
    directory.chmod(0o755)
    make_run_directory(directory)

    assert stat.S_IMODE(directory.stat().st_mode) == 0o700


def test_a_run_directory_that_somebody_else_has_put_there_is_refused(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o755)
    link = tmp_path / "run"
    link.symlink_to(elsewhere)

    with pytest.raises(ConfigurationError, match=str(link)):
        make_run_directory(link)

    assert stat.S_IMODE(elsewhere.stat().st_mode) == 0o755
