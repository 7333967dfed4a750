"""`/iiif/series/{series}/manifest.json`: IIIF Presentation API 3.0, and 2.1 below `/iiif/2/`.

`/iiif/frames-pyramids/{id}/{n}/manifest.json` is that of a single frame, as Orthanc's whole-slide plugin has it.
"""

from __future__ import annotations

from anyio import to_thread
from starlette.requests import Request
from starlette.routing import Route

from wsi_dicom_server.access.principal import principal_of
from wsi_dicom_server.addresses import frame_number
from wsi_dicom_server.image_identifiers import frame_image
from wsi_dicom_server.linked_data import linked_data
from wsi_dicom_server.presentation import version_2, version_3
from wsi_dicom_server.presentation.frames import frame_subject, frames_subject
from wsi_dicom_server.presentation.slides import slide_subject
from wsi_dicom_server.presentation.subject import Subject, addresses_of
from wsi_dicom_server.presentation.version_2 import manifest_2
from wsi_dicom_server.presentation.version_3 import manifest_3
from wsi_dicom_server.replies import Reply
from wsi_dicom_server.site import site_of
from wsi_dicom_server.slide_pool import stored_series


async def series_manifest(request: Request) -> Reply:
    return _manifest_3(request, await _series(request))


async def old_series_manifest(request: Request) -> Reply:
    return _manifest_2(request, await _series(request))


async def frame_manifest(request: Request) -> Reply:
    return _manifest_3(request, await _frame(request))


async def old_frame_manifest(request: Request) -> Reply:
    return _manifest_2(request, await _frame(request))


def _manifest_3(request: Request, subject: Subject) -> Reply:
    content = manifest_3(subject, addresses_of(request), site_of(request).settings)
    return linked_data(request, content, version_3.CONTEXT)


def _manifest_2(request: Request, subject: Subject) -> Reply:
    content = manifest_2(subject, addresses_of(request), site_of(request).settings)
    return linked_data(request, content, version_2.CONTEXT, latest=False)


async def _series(request: Request) -> Subject:
    site, series, principal = site_of(request), request.path_params["series"], principal_of(request)
    record = await to_thread.run_sync(stored_series, site.store, series)
    if record.width is None:
        images = (await site.frames.counted(series)).images
        return frames_subject(series, record, images, site.settings, principal)
    return slide_subject(site, series, await site.slides.get(series), principal)


async def _frame(request: Request) -> Subject:
    site, identifier, number = site_of(request), request.path_params["id"], frame_number(request.path_params["n"])
    pyramid = (await frame_image(site, identifier, number)).slide.pyramid
    record = (await site.frames.counted(identifier)).record
    return frame_subject(identifier, number, pyramid, record, site.settings, principal_of(request))


routes = [
    Route("/iiif/series/{series}/manifest.json", series_manifest),
    Route("/iiif/2/series/{series}/manifest.json", old_series_manifest),
    Route("/iiif/frames-pyramids/{id}/{n}/manifest.json", frame_manifest),
    Route("/iiif/2/frames-pyramids/{id}/{n}/manifest.json", old_frame_manifest),
]
