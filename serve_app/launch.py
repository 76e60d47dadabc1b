"""Start the whole service on this machine, and stop all of it: `python -m serve_app.launch`."""

import argparse
import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

from deployments.env_file import load_env_file
from deployments.errors import ConfigurationError, MemoryLayerError
from deployments.runtime.capacity import Capacity
from deployments.runtime.connection_budget import check_demands, configured_replicas, demands
from deployments.runtime.serve_config import read_serve_config
from deployments.settings import Environment, Settings
from deployments.settings_inspection import unknown_names
from deployments.storage.postgres import embedded, schema
from deployments.storage.postgres.unreachable import operator_message
from deployments.tracing.variables import wants_tracing
from serve_app.edge.keyring import NO_KEYS
from serve_app.launcher import cluster_environment, run_processes
from serve_app.launcher.ports import Port, check_free, chosen_ports

_ROOT = Path(__file__).resolve().parents[1]
_DEFAULT_HTTP_PORT = 8000
_START_LIMIT_SECONDS = 600.0
_POLL_SECONDS = 0.5
_REPEAT_SECONDS = 5.0
_SIGNAL_GRACE_SECONDS = 1.0
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class _StopRequested(BaseException):
    """Raised on Ctrl-C, SIGTERM or SIGHUP."""


@dataclass
class _Stopping:
    """Turns the first signal into an exception in the main thread; later signals make the shutdown skip its waits."""

    requested: bool = False
    hurry: threading.Event = field(default_factory=threading.Event)

    def install(self) -> None:
        for number in _SIGNALS:
            # nohup sets SIGHUP to be ignored; keep that.
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self._on_signal)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        if self.requested:
            self.hurry.set()
            return
        self.requested = True
        raise _StopRequested


@dataclass(frozen=True)
class _Plan:
    """The processes to start, and their directories, ports and environment."""

    settings: Settings
    config: dict[str, Any]
    ports: list[Port]
    directory: Path

    @property
    def url(self) -> str:
        return f"http://localhost:{self.ports[0].number}"

    @property
    def dashboard_port(self) -> int:
        return self.ports[1].number


def main(arguments: list[str] | None = None) -> int:
    """Run until a signal arrives. Return 0, 1 if the service does not start, 2 if the settings are invalid."""
    stopping = _Stopping()
    stopping.install()
    try:
        plan = _read_plan(_options(arguments))
        with run_processes.only_launcher(plan.directory):
            return _run(plan, stopping)
    except ConfigurationError as error:
        _complain(str(error))
        return 2
    except MemoryLayerError as error:
        _complain(operator_message(error))
        return 1
    except _StopRequested:
        return 0


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m serve_app.launch", description=__doc__)
    parser.add_argument("--config", type=Path, default=_ROOT / "serve_config.yaml", help="the Serve config")
    parser.add_argument("--port", help="the API's port, instead of http_options.port in the config")
    parser.add_argument("--dashboard-port", default="8265", help="the port of Ray's dashboard (8265)")
    parser.add_argument("--data-dir", type=Path, help="the data directory, instead of MEMORY_DATA_DIR")
    parser.add_argument("--default-data-dir", type=Path, help="the data directory if MEMORY_DATA_DIR is not set")
    return parser.parse_args(arguments)


def _read_plan(options: argparse.Namespace) -> _Plan:
    load_env_file()
    _name_data_dir(options)
    _warn_of_unknown_settings()
    settings = Settings.load()
    # Report it here in one line. The replicas get the same environment and turn it on.
    wants_tracing(os.environ)
    data_dir = settings.runtime.data_dir.expanduser().resolve()
    # Replicas run in other directories than this process, so make the path absolute.
    os.environ["MEMORY_DATA_DIR"] = str(data_dir)
    directory = cluster_environment.run_directory(data_dir)
    cluster_environment.make_run_directory(directory)
    config = _read_config(options.config)
    http = config.setdefault("http_options", {})
    if options.port is not None:
        http["port"] = options.port
    variables = cluster_environment.cluster_environment(directory) | os.environ
    ports = chosen_ports(http.get("port", _DEFAULT_HTTP_PORT), options.dashboard_port, variables)
    http["port"] = ports[0].number
    return _Plan(settings=Settings.load(), config=config, ports=ports, directory=directory)


def _name_data_dir(options: argparse.Namespace) -> None:
    if options.data_dir is not None:
        os.environ["MEMORY_DATA_DIR"] = str(options.data_dir)
    elif options.default_data_dir is not None and not os.environ.get("MEMORY_DATA_DIR"):
        os.environ["MEMORY_DATA_DIR"] = str(options.default_data_dir)


def _read_config(path: Path) -> dict[str, Any]:
    try:
        config = read_serve_config(path)
    except ConfigurationError as error:
        raise ConfigurationError(f"--config: {error.message}") from None
    if not isinstance(config, dict) or not config.get("applications"):
        raise ConfigurationError(f"--config: {path} holds no applications")
    return config


def _run(plan: _Plan, stopping: _Stopping) -> int:
    cluster: ModuleType | None = None
    try:
        _clean_up_after_the_last_run(plan)
        check_free(plan.ports)
        _prepare_database(plan)
        cluster = _load_ray(plan)
        _start_ray(plan, cluster)
        # Ray installs its own signal handlers.
        stopping.install()
        _deploy(plan, cluster)
        _introduce(plan)
        return _wait(cluster)
    except _StopRequested:
        return 0
    finally:
        stopping.requested = True
        _stop(plan, cluster, stopping)


def _clean_up_after_the_last_run(plan: _Plan) -> None:
    count = run_processes.stop_marked_processes(plan.directory)
    if count:
        _say(f"- stopped {count} processes that an earlier run left behind")


def _prepare_database(plan: _Plan) -> None:
    if plan.settings.database.url is None:
        with _step("starting the embedded Postgres"):
            embedded.ensure_running(plan.settings.runtime.data_dir)
    with _step("checking the database's schema"):
        schema.prepare(plan.settings)
        _check_keys(plan, keys_made=schema.keys_were_made(plan.settings))
        _check_connections(plan, schema.allowed_connections(plan.settings))


def _check_keys(plan: _Plan, *, keys_made: bool) -> None:
    """Report missing keys in one line before anything starts. A replica in production reports them too."""
    if plan.settings.access.root_keys or keys_made:
        return
    if plan.settings.runtime.environment is Environment.PRODUCTION:
        raise ConfigurationError(NO_KEYS)
    _say("warning: no API key is configured: whoever reaches the service may do everything")


def _check_connections(plan: _Plan, allowed: int) -> None:
    """Report too few connections in one line. A replica reports them if the service is started another way."""
    for application in plan.config["applications"]:
        if application.get("import_path") == "serve_app.build:build_app":
            capacity = Capacity.model_validate(application.get("args", {}))
            check_demands(demands(capacity, plan.settings, configured_replicas(application)), allowed)


def _warn_of_unknown_settings() -> None:
    for name in unknown_names(os.environ):
        _say(f"warning: {name} is no setting of this version: it has no effect")


def _load_ray(plan: _Plan) -> ModuleType:
    cluster_environment.apply(cluster_environment.cluster_environment(plan.directory))
    # Ray's workers find the package in any directory, installed or not.
    paths = [str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    os.environ["PYTHONPATH"] = os.pathsep.join(paths)
    from serve_app.launcher import local_cluster  # noqa: PLC0415 - Ray reads its environment when imported

    return local_cluster


def _start_ray(plan: _Plan, cluster: ModuleType) -> None:
    with _step("starting Ray"):
        cluster.start(plan.directory, plan.dashboard_port, plan.config)
        # A stable path to the files that Ray writes for Prometheus and Grafana (docs/monitoring.md).
        link = plan.settings.runtime.data_dir / "ray"
        link.unlink(missing_ok=True)
        link.symlink_to(plan.directory / "ray")


def _deploy(plan: _Plan, cluster: ModuleType) -> None:
    with _step("deploying the application"):
        cluster.deploy(plan.config, plan.dashboard_port)
        _wait_until_ready(plan, cluster)


def _wait_until_ready(plan: _Plan, cluster: ModuleType) -> None:
    deadline = time.monotonic() + _START_LIMIT_SECONDS
    said, said_at = "", time.monotonic()
    while time.monotonic() < deadline:
        found = cluster.progress(plan.dashboard_port)
        if found.ready and cluster.answers(f"{plan.url}/-/healthz"):
            return
        waiting = ", ".join(f"{name} ({status})" for name, status in sorted(found.waiting_for.items()))
        line = f"  waiting for {waiting or 'the front door'}"
        if line != said or time.monotonic() - said_at > _REPEAT_SECONDS:
            _say("\n".join([line, *(f"    {message}" for message in found.messages)]))
            said, said_at = line, time.monotonic()
        time.sleep(_POLL_SECONDS)
    raise cluster.DeploymentFailedError(f"The application was not ready within {_START_LIMIT_SECONDS:.0f} s")


def _introduce(plan: _Plan) -> None:
    token = (
        ""
        if os.environ["RAY_AUTH_MODE"] != "token"
        else f"   (its token: {Path(sys.executable).with_name('ray')} get-auth-token)"
    )
    message = (
        '{"tenant_id": "demo", "conversation_id": "first", "role": "user", '
        '"content": "My sister Ana moved to Lisbon in March."}'
    )
    _say(
        f"""
The memory layer is ready.

  API            {plan.url}
  Documentation  {plan.url}/docs
  Ray dashboard  http://localhost:{plan.dashboard_port}{token}
  Data           {plan.settings.runtime.data_dir}
  Ray's logs     {plan.directory}/ray/session_latest/logs

Try it:

  curl -s {plan.url}/v1/messages -H 'Content-Type: application/json' -d '{message}'
  curl -s '{plan.url}/v1/memory/search?tenant_id=demo&query=where%20does%20Ana%20live&top_k=3'
  curl -s {plan.url}/v1/admin/health

Where there are API keys, add -H 'X-API-Key: ...' to the first two.

Ctrl-C stops all of it. What the replicas log follows.
"""
    )


def _wait(cluster: ModuleType) -> int:
    lost = cluster.wait_until_lost()
    # Ctrl-C ends Ray's processes too, and may reach them before this one.
    time.sleep(_SIGNAL_GRACE_SECONDS)
    _complain(f"Ray's {' and '.join(lost)} ended unexpectedly: stopping")
    return 1


def _stop(plan: _Plan, cluster: ModuleType | None, stopping: _Stopping) -> None:
    began = time.monotonic()
    _say("\nStopping ...")
    if cluster is not None:
        cluster.stop(stopping.hurry, _say)
    run_processes.stop_marked_processes(plan.directory)
    if plan.settings.database.url is None:
        try:
            embedded.stop(plan.settings.runtime.data_dir)
        except MemoryLayerError as error:
            _complain(str(error))
    _say(f"Stopped in {time.monotonic() - began:.1f} s")


@contextlib.contextmanager
def _step(title: str) -> Iterator[None]:
    _say(f"- {title} ...")
    began = time.monotonic()
    yield
    _say(f"  done in {time.monotonic() - began:.1f} s")


def _say(text: str) -> None:
    _write(sys.stdout, text)


def _complain(text: str) -> None:
    _write(sys.stderr, f"error: {text}")


def _write(stream: Any, text: str) -> None:
    # After SIGHUP the terminal may be gone.
    with contextlib.suppress(OSError):
        stream.write(f"{text}\n")
        stream.flush()


def run() -> None:
    """Exit with the status of `main` and without exit hooks: Ray's hooks crash if its start was interrupted."""
    os._exit(main())


if __name__ == "__main__":
    run()
