"""`/jobs`: what became of uploads, in Orthanc's words."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

from anyio import to_thread
from starlette.requests import Request
from starlette.routing import Route

from wsi_dicom.errors import NotFound
from wsi_dicom_server.job_records import JobRecord, JobState
from wsi_dicom_server.jobs import Jobs
from wsi_dicom_server.replies import Reply, document, unkept_document
from wsi_dicom_server.site import site_of


async def jobs(request: Request) -> Reply:
    """Identifiers, or with `?expand` the jobs themselves."""
    listed = await to_thread.run_sync(jobs_of(request).records.all)
    return document(request, [job_content(job) if "expand" in request.query_params else job.id for job in listed])


async def job(request: Request) -> Reply:
    record = await to_thread.run_sync(jobs_of(request).records.get, request.path_params["id"])
    return document(request, job_content(record))


async def cancel(request: Request) -> Reply:
    """A job that has ended is forgotten."""
    record = await to_thread.run_sync(jobs_of(request).records.cancel, request.path_params["id"])
    return Reply(204, []) if record is None else job_reply(202, record)


def jobs_of(request: Request) -> Jobs:
    """Raises NotFound where the server only shows."""
    jobs = site_of(request).jobs
    if jobs is None:
        raise NotFound("nothing can be uploaded here: this server only shows slides")
    return jobs


def job_content(job: JobRecord) -> dict[str, Any]:
    """In the form of Orthanc."""
    content = {
        "ID": job.id,
        "Type": "Upload",
        "State": job.state,
        "Progress": job.progress,
        "ErrorCode": -1 if job.state is JobState.FAILURE else 0,
        "ErrorDescription": job.error or ("Success" if job.state is not JobState.CANCELLED else "Cancelled"),
        "CreationTime": _time(job.created),
        "EffectiveRuntime": round((job.ended or time.time()) - job.begun, 1) if job.begun is not None else 0.0,
        "Content": {"Name": job.name, "Series": job.series},
    }
    if job.ended is not None:
        content["CompletionTime"] = _time(job.ended)
    return content


def job_reply(status: int, job: JobRecord, *headers: tuple[bytes, bytes]) -> Reply:
    """What was asked for is done later."""
    return unkept_document(status, job_content(job), *headers)


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y%m%dT%H%M%S.%f")


routes = [
    Route("/jobs", jobs),
    Route("/jobs/{id}", job),
    Route("/jobs/{id}", cancel, methods=["DELETE"]),
]
