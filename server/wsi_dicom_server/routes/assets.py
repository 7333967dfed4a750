"""`/static/...`: our own files, which every page loads."""

from __future__ import annotations

from starlette.requests import Request
from starlette.routing import Route

from wsi_dicom.errors import NotFound
from wsi_dicom_server.replies import (
    ANY_ORIGIN,
    BY_CODING,
    REVALIDATE,
    Reply,
    entity_tag,
    header,
    not_modified,
    unchanged,
)
from wsi_dicom_server.site import site_of


async def static_file(request: Request) -> Reply:
    return _static(request, request.path_params["path"])


async def favicon(request: Request) -> Reply:
    return _static(request, "favicon.svg")


def _static(request: Request, name: str) -> Reply:
    file = site_of(request).static.get(name)
    if file is None:
        raise NotFound(
            f"no file {name[:80]!r} in this server; if it is a part of the viewer, run python build_assets.py"
        )
    coding = file.coding(header(request, b"accept-encoding"))
    etag = file.etag(coding)
    headers = [
        (b"content-type", file.media_type.encode()),
        entity_tag(etag),
        (b"x-content-type-options", b"nosniff"),
        REVALIDATE,
        BY_CODING,
        ANY_ORIGIN,
    ]
    if coding != "identity":
        headers.append((b"content-encoding", coding.encode()))
    return not_modified(headers) if unchanged(request, etag) else Reply(200, headers, file.bodies[coding])


routes = [
    Route("/static/{path:path}", static_file),
    Route("/favicon.svg", favicon),
    Route("/favicon.ico", favicon),
]
