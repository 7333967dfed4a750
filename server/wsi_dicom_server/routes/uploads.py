"""`POST /uploads`: files of slides, or DICOM files, become a job."""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, ExitStack, asynccontextmanager, closing
from typing import Final, TypeVar

from anyio import CancelScope, fail_after, to_thread
from starlette.datastructures import QueryParams
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.routing import Route

from wsi_dicom.codecs.compression import Compression
from wsi_dicom.convert import DicomizeOptions, UidChoice, usable_cores
from wsi_dicom.errors import InvalidRequest
from wsi_dicom.plan import DICOM, PlanOptions
from wsi_dicom_server.addresses import home_url
from wsi_dicom_server.intake import UPLOADED, Upload
from wsi_dicom_server.job_records import JobRecord
from wsi_dicom_server.jobs import Jobs
from wsi_dicom_server.replies import Reply, header
from wsi_dicom_server.routes.jobs import job_reply, jobs_of
from wsi_dicom_server.site import Site, site_of
from wsi_dicom_server.upload_files import Body, UploadFolder, body_of

T = TypeVar("T")
_PIECE: Final = 1 << 20
_SILENT_S: Final = 60.0


async def upload(request: Request) -> Reply:
    """The body is a file called `?name=`, or a form with files; `?pyramid=` and `?compression=` say how to convert."""
    site, jobs = site_of(request), jobs_of(request)
    options = _options(request.query_params, site)
    if _announced(request) > site.settings.largest_upload:
        raise _too_large(site)
    try:
        record = await _receive(request, site, jobs, options)
    except CancelledError:  # as the server does with all that takes too long when it is told to stop
        raise HTTPException(503, "the server stops; upload this again") from None
    return job_reply(202, record, (b"location", f"{home_url(request)}/jobs/{record.id}".encode()))


async def _receive(request: Request, site: Site, jobs: Jobs, options: DicomizeOptions) -> JobRecord:
    """The job of an upload that has come in whole; else nothing of it is left.

    Raises InvalidRequest, HTTPException, ClientDisconnect, Busy, StoreError.
    """
    async with _in_thread(jobs.place()), _in_thread(ExitStack()) as kept:
        staging = await to_thread.run_sync(kept.enter_context, site.store.staging())
        files = UploadFolder(staging / UPLOADED, site.settings.keep_free)
        await to_thread.run_sync(files.require_room, _announced(request))
        async with _in_thread(closing(files)):
            kind, name = header(request, b"content-type"), request.query_params.get("name")
            body = await to_thread.run_sync(body_of, kind, name, files)
            await _write(request, site, body)
        limits = site.settings.largest_upload, site.settings.keep_free
        work = Upload(staging, site.store.opener(), options, *limits)
        return await to_thread.run_sync(jobs.submit, files.title, work, kept)


async def _write(request: Request, site: Site, body: Body) -> None:
    """Piece by piece. Raises as `_receive`."""
    stream, received, gathered = request.stream(), 0, bytearray()
    while True:
        try:
            with fail_after(_SILENT_S):
                piece = await anext(stream, None)
        except TimeoutError:
            raise HTTPException(408, f"nothing came for {_SILENT_S:.0f} seconds") from None
        if piece is None:
            break
        received += len(piece)
        if received > site.settings.largest_upload:
            raise _too_large(site)
        gathered += piece
        if len(gathered) >= _PIECE:
            await to_thread.run_sync(body.feed, bytes(gathered))
            gathered.clear()
    await to_thread.run_sync(body.feed, bytes(gathered))
    await to_thread.run_sync(body.finish)


@asynccontextmanager
async def _in_thread(context: AbstractContextManager[T]) -> AsyncIterator[T]:
    """A context whose beginning and end block. It ends also when the request is cancelled."""
    entered = await to_thread.run_sync(context.__enter__)
    try:
        yield entered
    finally:
        with CancelScope(shield=True):
            await to_thread.run_sync(context.__exit__, None, None, None)


def _options(parameters: QueryParams, site: Site) -> DicomizeOptions:
    """Those of `dicomize`. The same file gives the same series, so that it is stored once. Raises InvalidRequest."""
    pyramid, compression = parameters.get("pyramid", "0"), parameters.get("compression")
    if pyramid not in ("0", "1"):
        raise InvalidRequest(f"pyramid={pyramid[:20]!r}: expected 0 or 1")
    possible = [name.value for name in Compression if name.transfer_syntax in DICOM.transfer_syntaxes]
    if compression is not None and compression not in possible:
        raise InvalidRequest(f"compression={compression[:20]!r}: expected one of {', '.join(possible)}")
    return DicomizeOptions(
        plan=PlanOptions(pyramid=pyramid == "1", compression=Compression(compression) if compression else None),
        uids=UidChoice.DETERMINISTIC,
        skip_existing=True,
        threads=max(1, usable_cores() // site.settings.jobs_at_once),
    )


def _announced(request: Request) -> int:
    """Bytes of the body; 0 when nobody says."""
    length = header(request, b"content-length")
    return int(length[:20]) if length.isdecimal() else 0


def _too_large(site: Site) -> HTTPException:
    return HTTPException(413, f"an upload may have {site.settings.largest_upload} bytes")


routes = [Route("/uploads", upload, methods=["POST"])]
