"""Submits retention runs as Ray jobs."""

import asyncio
from uuid import UUID

import ray
import structlog

from deployments.errors import UnavailableError

logger = structlog.get_logger(__name__)

TIMEOUT_SECONDS = 30.0
# Ray starts its job agent last.
NOT_YET = "No available agent"
RETRY_SECONDS = 1.0


async def submit_retention_job(run_id: UUID) -> None:
    """Submit a Ray job for a run, on the head node. Raises `UnavailableError` if Ray accepts no job."""
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            job_id = await _submitted(run_id)
    except (RuntimeError, OSError, ValueError, TimeoutError) as error:
        raise UnavailableError("Ray takes no job just now.", {"reason": str(error).partition("\n")[0]}) from error
    logger.info("retention_job_submitted", run_id=str(run_id), job_id=job_id)


async def _submitted(run_id: UUID) -> str:
    while True:
        try:
            return await asyncio.to_thread(_submit, run_id)
        except RuntimeError as error:
            if NOT_YET not in str(error):
                raise
        await asyncio.sleep(RETRY_SECONDS)


def _submit(run_id: UUID) -> str:
    from ray.job_submission import JobSubmissionClient  # noqa: PLC0415 - 10 MB, which few replicas ever need

    """By the cluster's own address, which leads to its dashboard wherever that is."""
    client = JobSubmissionClient(ray.get_runtime_context().gcs_address)
    return client.submit_job(entrypoint=f"python -m jobs.retention --resume {run_id}")
