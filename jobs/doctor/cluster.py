"""The state of Serve, as Ray's dashboard reports it."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from deployments.command_lines import script_command
from deployments.runtime.capacity import DEPLOYMENTS
from jobs.doctor.findings import Finding, problem, warning, well
from jobs.doctor.serve_config import IMPORT_PATH

CHECK = "cluster"
PATH = "/api/serve/applications/"
TIMEOUT_SECONDS = 5.0
# Serve leaves these states by itself: they follow a deployment or a change of load.
PASSING = frozenset({"DEPLOYING", "UPDATING", "UPSCALING", "DOWNSCALING"})
WAIT = "Look again in a minute: Serve is at it."


async def serve_details(address: str) -> dict[str, Any] | Finding:
    """Return the details of all applications, or a finding that says why they are unavailable."""
    headers = _authorization()
    if isinstance(headers, Finding):
        return headers
    try:
        async with httpx.AsyncClient(timeout=TIMEOUT_SECONDS, trust_env=False) as client:
            answer = await client.get(f"{address.rstrip('/')}{PATH}", headers=headers)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        said = f"Ray's dashboard does not answer at the address that is given ({type(error).__name__})."
        return problem(
            CHECK, said, "Start the cluster, or name its dashboard with --dashboard.", _serve(address, "status")
        )
    if answer.status_code in {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}:
        advice = "Set RAY_AUTH_TOKEN, or have the cluster's token in ~/.ray/auth_token (docs/cluster.md)."
        return problem(CHECK, "Ray's dashboard refuses the token.", advice)
    if not answer.is_success:
        return problem(CHECK, f"Ray's dashboard answers HTTP {answer.status_code}.", "See Ray's logs.")
    return details_in(answer)


def details_in(answer: httpx.Response) -> dict[str, Any] | Finding:
    """Return the details in an answer, or a finding if it does not come from a dashboard."""
    try:
        details = answer.json()
    except ValueError:
        details = None
    if not isinstance(details, dict):
        said = "What answers at the address that is given for Ray's dashboard is something else."
        return problem(CHECK, said, "Name the dashboard with --dashboard: its port is 8265 by default.")
    return details


def _authorization() -> dict[str, str] | Finding:
    token = os.environ.get("RAY_AUTH_TOKEN")
    path = Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token")
    try:
        if token is None and path.is_file():
            token = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        said = f"The token of RAY_AUTH_TOKEN_PATH ({path}) cannot be read: {type(error).__name__}."
        return problem(CHECK, said, "Call the doctor as the user of the service.")
    token = (token or "").strip()
    if not token.isascii() or not token.isprintable():
        said = "RAY_AUTH_TOKEN (or its file) holds characters that no header can carry."
        return problem(CHECK, said, "Take the token of the cluster.", script_command("ray", "get-auth-token"))
    return {"Authorization": f"Bearer {token}"} if token else {}


def application_in(details: Mapping[str, Any]) -> tuple[str, dict[str, Any]] | None:
    """Return the name and the details of our application, or None if it is not deployed."""
    for name, each in details.get("applications", {}).items():
        if (each.get("deployed_app_config") or {}).get("import_path") == IMPORT_PATH:
            return name, each
    return None


def judge_cluster(details: Mapping[str, Any], address: str, config: Path | None) -> list[Finding]:
    """Judge whether the application runs, and each deployment is healthy with the intended number of replicas.

    `address`: of the dashboard; `config`: path of the Serve config, if known. Both appear in suggested commands.
    """
    found = application_in(details)
    deploy = None if config is None else _serve(address, "deploy", str(config.resolve()))
    if found is None:
        said = f"The cluster runs no application with the import_path {IMPORT_PATH}."
        return [problem(CHECK, said, "Deploy it.", deploy)]
    name, application = found
    status, deployments = application["status"], application["deployments"]
    look = _serve(address, "status")
    findings = []
    if status in PASSING:
        findings.append(warning(CHECK, f"The application {name} is {status}.", WAIT, look))
    elif status != "RUNNING":
        findings.append(problem(CHECK, f"The application {name} is {status}.", "See what Serve says.", look))
    for deployment in DEPLOYMENTS:
        if deployment in deployments:
            findings += _deployment(deployment, deployments[deployment], look)
        # During a deployment its parts start one after the other.
        elif status not in PASSING:
            findings.append(problem(CHECK, f"The deployment {deployment} is missing.", "Deploy this version.", deploy))
    replicas = sum(_running(each) for each in deployments.values())
    return findings or [well(CHECK, f"The application {name} runs, with {replicas} replicas.")]


def _deployment(name: str, found: Mapping[str, Any], look: str) -> list[Finding]:
    wanted, running = found.get("target_num_replicas", 1), _running(found)
    said = f"{name} is {found['status']}, with {running} of {wanted} replicas."
    if found["status"] in PASSING:
        return [warning(CHECK, said, WAIT, look)]
    if found["status"] != "HEALTHY":
        return [problem(CHECK, said, "See what Serve says of it, and the replicas' logs.", look)]
    if running < wanted:
        return [warning(CHECK, said, "See whether the nodes have room for it.", script_command("ray", "status"))]
    return []


def _serve(address: str, command: str, *arguments: str) -> str:
    # Without the password that it may contain.
    url = urlsplit(address)
    shown = url._replace(netloc=url.netloc.rpartition("@")[2]).geturl()
    return script_command("serve", command, "--address", shown, *arguments)


def _running(deployment: Mapping[str, Any]) -> int:
    return sum(replica["state"] == "RUNNING" for replica in deployment.get("replicas", []))
