"""Checks the service over HTTP, as its callers see it."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from importlib.metadata import version
from typing import Any

import httpx

from deployments.command_lines import script_command
from jobs.doctor.clock import judge_clock
from jobs.doctor.findings import Finding, problem, warning, well
from jobs.doctor.indexes import held

CHECK = "service"
TIMEOUT_SECONDS = 6.0
UNAVAILABLE = httpx.codes.SERVICE_UNAVAILABLE


async def answers(url: str) -> list[Finding]:
    """Check readiness, the health of all parts, the version, the in-memory indexes and the clock."""
    async with httpx.AsyncClient(base_url=url, timeout=TIMEOUT_SECONDS, trust_env=False) as client:
        try:
            began = datetime.now(UTC)
            health = await client.get("/v1/admin/health")
            ended = datetime.now(UTC)
            readiness = await client.get("/v1/admin/readiness")
            indexes = await held(client)
        except httpx.HTTPError as error:
            said = f"The service does not answer at the URL that is given ({type(error).__name__})."
            return [problem(CHECK, said, "See whether it runs, and listens there.", script_command("serve", "status"))]
    if health.status_code not in {httpx.codes.OK, UNAVAILABLE} or not _is_health(health):
        said = f"GET /v1/admin/health answers HTTP {health.status_code}, and nothing that this version knows."
        return [problem(CHECK, said, "See whether the URL is that of the service.")]
    findings = [*judge_health(health.json(), ready=readiness.is_success, code=version("ai-memory-layer")), indexes]
    if "Date" in health.headers:
        theirs = parsedate_to_datetime(health.headers["Date"])
        findings.append(judge_clock("The service", theirs, began + (ended - began) / 2))
    return findings


def _is_health(answer: httpx.Response) -> bool:
    try:
        body = answer.json()
    except ValueError:
        return False
    return isinstance(body, dict) and {"status", "version", "parts"} <= body.keys()


def judge_health(body: Mapping[str, Any], *, ready: bool, code: str) -> list[Finding]:
    """Judge the answer of `GET /v1/admin/health`, `body`. `code`: the version that is installed here."""
    findings = list(_parts(body["parts"]))
    if not ready:
        findings.append(problem(CHECK, "It is not ready: load balancers send it nothing.", "See docs/health.md."))
    if body["version"] != code:
        said = f"Version {body['version']} runs, but {code} is installed here."
        findings.append(warning(CHECK, said, "Deploy this version, or look from where the other one is installed."))
    return findings or [well(CHECK, f"Version {code} answers, and is well.")]


def _parts(parts: list[Mapping[str, Any]]) -> Iterator[Finding]:
    for part in parts:
        if part["status"] != "ok":
            judge = problem if part["status"] == "unavailable" else warning
            yield judge(f"{CHECK}.{part['name']}", part["problem"], "See docs/health.md.")
