"""`/iiif/series/{series}/manifest.json`: IIIF Presentation API 3.0, and 2.1 below `/iiif/2/`."""

from __future__ import annotations

from anyio import to_thread
from starlette.requests import Request
from starlette.routing import Route

from wsi_dicom_server.access.principal import principal_of
from wsi_dicom_server.addresses import home_url
from wsi_dicom_server.linked_data import linked_data
from wsi_dicom_server.presentation import version_2, version_3
from wsi_dicom_server.presentation.frames import frames_subject
from wsi_dicom_server.presentation.slides import slide_subject
from wsi_dicom_server.presentation.subject import Addresses, Subject
from wsi_dicom_server.presentation.version_2 import manifest_2
from wsi_dicom_server.presentation.version_3 import manifest_3
from wsi_dicom_server.replies import Reply
from wsi_dicom_server.site import site_of
from wsi_dicom_server.slide_pool import stored_series


async def manifest(request: Request) -> Reply:
    content = manifest_3(await _subject(request), addresses_of(request), site_of(request).settings)
    return linked_data(request, content, version_3.CONTEXT)


async def old_manifest(request: Request) -> Reply:
    content = manifest_2(await _subject(request), addresses_of(request), site_of(request).settings)
    return linked_data(request, content, version_2.CONTEXT, latest=False)


async def _subject(request: Request) -> Subject:
    site, series, principal = site_of(request), request.path_params["series"], principal_of(request)
    record = await to_thread.run_sync(stored_series, site.store, series)
    if record.width is None:
        instances = await to_thread.run_sync(site.store.instances, record)
        return frames_subject(series, record, instances, site.settings, principal)
    return slide_subject(site, series, await site.slides.get(series), principal)


def addresses_of(request: Request) -> Addresses:
    return Addresses(site_of(request).base_url(request), home_url(request))


routes = [
    Route("/iiif/series/{series}/manifest.json", manifest),
    Route("/iiif/2/series/{series}/manifest.json", old_manifest),
]
