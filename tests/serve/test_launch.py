"""`make serve` as a user meets it: start, stop, hard kills, and what it says when it cannot start."""

import contextlib
import os
import signal
import socket
import subprocess
import time

import pytest

from serve_app.launcher.cluster_environment import make_run_directory
from serve_app.launcher.run_processes import only_launcher
from tests.paths import ROOT
from tests.serve.launched_service import STOP_SECONDS, LaunchedService
from tests.serve.test_cluster import wait_until

RAY_AGENT_PORT = 52365


def test_data_outlives_an_orderly_stop_and_a_hard_kill_of_everything(launched_at_last: LaunchedService) -> None:
    service = launched_at_last
    service.request("/v1/admin/liveness")
    message = {"tenant_id": "t", "conversation_id": "c", "role": "user", "content": "It rained in Lisbon."}
    stored = service.request("/v1/messages", message)["id"]

    assert service.interrupt() == 0, service.console()
    assert service.processes() == []

    service.start()
    assert service.request(f"/v1/messages/{stored}?tenant_id=t")["content"] == message["content"]
    second = service.request("/v1/messages", message)["id"]
    service.kill_hard()

    service.start()
    for found in (stored, second):
        assert service.request(f"/v1/messages/{found}?tenant_id=t")["content"] == message["content"]
    assert service.interrupt(times=2) == 0, service.console()
    assert service.processes() == []


def test_a_second_cluster_on_the_machine_runs_retention_jobs(service: LaunchedService) -> None:
    """The agent that takes jobs has a port of its own, whoever has Ray's default one."""
    with socket.socket() as first:
        # Another cluster of the machine may have it: that is as good.
        with contextlib.suppress(OSError):
            first.bind(("0.0.0.0", RAY_AGENT_PORT))  # noqa: S104 - as the agent would
            first.listen()
        service.start()

        run = service.request("/v1/admin/retention/run", {"dry_run": True, "wait_seconds": 0})

        def ended() -> bool:
            found = service.request(f"/v1/admin/retention/runs/{run['run_id']}")
            return bool(found["status"] == "completed")

        wait_until(ended)
        assert service.interrupt() == 0, service.console()


def test_an_interrupt_in_the_middle_of_the_start_leaves_nothing(service: LaunchedService) -> None:
    service.environment["PYTHONUNBUFFERED"] = "1"
    with subprocess.Popen(
        service.command(),
        cwd=ROOT,
        env=service.environment,
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if b"starting Ray" in line:
                break
        time.sleep(1.5)
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(timeout=STOP_SECONDS) == 0
    assert service.processes() == []


def test_a_taken_port_is_named(service: LaunchedService) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", service.port))
        taken.listen()
        status, complaint = service.fails_to_start()
    assert status == 2
    assert complaint.count("\n") == 1
    assert str(service.port) in complaint
    assert "--port" in complaint


@pytest.mark.parametrize(
    ("name", "value"), [("MEMORY_EMBEDDING_TIMEOUT_SECONDS", "-1"), ("OTEL_BSP_SCHEDULE_DELAY", "abc")]
)
def test_a_setting_that_makes_no_sense_is_named(service: LaunchedService, name: str, value: str) -> None:
    service.environment |= {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", name: value}
    status, complaint = service.fails_to_start()
    assert status == 2
    assert complaint.count("\n") == 1
    assert name in complaint


def test_a_second_launcher_for_the_same_data_is_refused(service: LaunchedService) -> None:
    make_run_directory(service.run_directory)
    with only_launcher(service.run_directory):
        status, complaint = service.fails_to_start()
    assert status == 2
    assert str(os.getpid()) in complaint
