"""How the launcher learns that Ray is gone."""

import subprocess
import threading

import pytest

from serve_app.launcher import local_cluster


def test_the_end_of_a_central_process_is_noticed_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_cluster, "_CENTRAL", frozenset({"sleep"}))
    with subprocess.Popen(["sleep", "3600"]) as central:
        threading.Timer(0.2, central.kill).start()

        assert local_cluster.wait_until_lost() == ["sleep"]


def test_one_that_is_gone_already_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_cluster, "_CENTRAL", frozenset({"no such process"}))

    assert local_cluster.wait_until_lost() == ["no such process"]
