"""The Ray cluster of one machine for `serve_app.launch`, started in this process so that it ends with it.

Ray's processes are children of the launcher and die with it even when it is killed; `ray start` leaves them running.
Importing this module imports Ray, which then reads its environment: call `cluster_environment.apply` before.
"""

import asyncio
import contextlib
import logging
import os
import select
import shutil
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any

import psutil
import ray
from ray import serve
from ray._private import parameter
from ray.dashboard.modules.serve.sdk import ServeSubmissionClient

from deployments.errors import MemoryLayerError

_OBJECT_STORE_BYTES = 256 * 1024 * 1024
_SESSIONS_KEPT = 2
_SERVE_STOP_SECONDS = 20.0
_CENTRAL = frozenset({"gcs_server", "raylet"})
_SIGNAL_MILLISECONDS = 500
_SETTLED = frozenset({"HEALTHY"})
_FAILED = frozenset({"DEPLOY_FAILED", "UNHEALTHY"})


class DeploymentFailedError(MemoryLayerError):
    """Raised if a deployment cannot start. The message is Serve's own."""

    code = "deployment_failed"


@dataclass(frozen=True)
class DeploymentProgress:
    """The state of the applications, as Serve reports it."""

    ready: bool
    waiting_for: Mapping[str, str]
    messages: tuple[str, ...]


def start(directory: Path, dashboard_port: int, config: Mapping[str, Any]) -> None:
    """Start Ray on this machine, its dashboard for this machine only, and Serve on it.

    Serve is started from here, before anything is deployed, since Ray shows a driver the output of its own job
    only: started by the deployment, the replicas would belong to the dashboard's.
    """
    temporary = directory / "ray"
    _remove_old_sessions(temporary)
    shutil.rmtree(directory / "haproxy", ignore_errors=True)
    # The entrypoint of a Ray job is a shell command: its `python` must be the one with the service's packages.
    os.environ["PATH"] = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)))
    with _any_agent_port():
        ray.init(
            dashboard_host="127.0.0.1",
            dashboard_port=dashboard_port,
            include_dashboard=True,
            object_store_memory=_OBJECT_STORE_BYTES,
            logging_level=logging.WARNING,
            _temp_dir=str(temporary),
        )
    serve.start(
        proxy_location=config.get("proxy_location"),
        http_options=config.get("http_options"),
        logging_config=config.get("logging_config"),
    )
    _keep_token_private()


@contextlib.contextmanager
def _any_agent_port() -> Iterator[None]:
    """Make the dashboard agent, which accepts Ray jobs, listen on a free port, which the cluster then records.

    `ray.init` has no option for it: the agent uses 52365, and if another cluster has that port, it accepts no jobs.
    """
    original = parameter.RayParams
    parameter.RayParams = partial(original, dashboard_agent_listen_port=0)  # type: ignore[misc, assignment]
    try:
        yield
    finally:
        parameter.RayParams = original  # type: ignore[misc]


def deploy(config: Mapping[str, Any], dashboard_port: int) -> None:
    """Deploy a Serve config like `serve deploy` does."""
    _client(dashboard_port).deploy_applications(dict(config))


def progress(dashboard_port: int) -> DeploymentProgress:
    """Return the state of the applications from Serve. Raises `DeploymentFailedError` if one cannot start."""
    applications = _client(dashboard_port).get_serve_details()["applications"]
    waiting: dict[str, str] = {}
    messages: list[str] = []
    failed = False
    for application in applications.values():
        failed |= application["status"] in _FAILED
        messages += [application["message"]] if application["message"] else []
        for name, deployment in application["deployments"].items():
            if deployment["status"] not in _SETTLED:
                waiting[name] = deployment["status"].lower()
                messages += [f"{name}: {deployment['message']}"] if deployment["message"] else []
    if failed:
        raise DeploymentFailedError("\n".join(messages) or "Serve gave no reason")
    ready = bool(applications) and all(found["status"] == "RUNNING" for found in applications.values())
    return DeploymentProgress(ready=ready, waiting_for=waiting, messages=tuple(messages))


def answers(url: str) -> bool:
    """Return whether HAProxy forwards a request to a replica."""
    try:
        with urllib.request.urlopen(url, timeout=2) as response:  # noqa: S310 - our own http address # nosec B310
            return bool(response.status == HTTPStatus.OK)
    except (urllib.error.URLError, OSError):
        return False


def lost_processes() -> list[str]:
    """Return the names of Ray's central processes that have ended."""
    return sorted(_CENTRAL - {process.name() for process in psutil.Process().children() if _alive(process)})


def wait_until_lost() -> list[str]:
    """Block until one of Ray's central processes ends. Return the names of those that have ended."""
    central = [process for process in psutil.Process().children() if process.name() in _CENTRAL]
    ends = select.poll()
    with contextlib.ExitStack() as opened:
        for process in central:
            descriptor = os.pidfd_open(process.pid)
            opened.callback(os.close, descriptor)
            ends.register(descriptor, select.POLLIN)
        # Use a timeout: a signal that another thread receives does not interrupt the call and is handled after it.
        while len(central) == len(_CENTRAL) and not ends.poll(_SIGNAL_MILLISECONDS):
            pass
    return lost_processes()


def stop(hurry: threading.Event, say: Callable[[str], None]) -> None:
    """Let the replicas finish their requests, for some seconds at most, and stop Ray."""
    if not ray.is_initialized():
        return
    try:
        asyncio.run(_drain(hurry))
    except Exception as error:  # noqa: BLE001 - whatever it is, Ray is stopped next
        say(f"  Serve did not stop in order: {error}")
    # If Ray got the signal too, as from a service manager that signals all processes, Serve no longer answers.
    if not lost_processes():
        ray.shutdown()


async def _drain(hurry: threading.Event) -> None:
    """Shut Serve down in this thread: Ray crashes if it is shut down while another thread waits for an answer."""
    ended = asyncio.ensure_future(serve.shutdown_async())  # type: ignore[no-untyped-call]
    deadline = time.monotonic() + _SERVE_STOP_SECONDS
    while not (ended.done() or hurry.is_set() or lost_processes() or time.monotonic() > deadline):
        await asyncio.wait([ended], timeout=0.1)
    if ended.done():
        ended.result()


def _client(dashboard_port: int) -> ServeSubmissionClient:
    return ServeSubmissionClient(f"http://127.0.0.1:{dashboard_port}")


def _alive(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def _keep_token_private() -> None:
    """Remove other users' access to Ray's token file: Ray creates it readable by everyone."""
    token = Path(os.environ.get("RAY_AUTH_TOKEN_PATH", Path.home() / ".ray" / "auth_token"))
    # A token file of another owner is managed by the operator.
    with contextlib.suppress(OSError):
        token.chmod(0o600)


def _remove_old_sessions(temporary: Path) -> None:
    """Delete all but the newest session directories. Ray leaves one for each session."""
    sessions = sorted(temporary.glob("session_2*"), key=lambda path: path.stat().st_mtime)
    for session in sessions[: -(_SESSIONS_KEPT - 1)]:
        shutil.rmtree(session, ignore_errors=True)
