"""What a manifest links to: `dicom.json`, `dicom.zip` and `slide.tif` below `/iiif/series/{series}/`."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from pathlib import Path
from tempfile import TemporaryDirectory

from anyio import to_thread
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from wsi_dicom.convert.to_tiff import TiffOptions, dicom_to_tiff
from wsi_dicom.dicom.header import read_instance
from wsi_dicom.errors import NotFound
from wsi_dicom.plan import PlanOptions
from wsi_dicom.slide import LABEL_IMAGES
from wsi_dicom.stores import SeriesRecord
from wsi_dicom.summary.attributes import json_attributes
from wsi_dicom.tiff.flavors import Flavor
from wsi_dicom_server.access.principal import principal_of
from wsi_dicom_server.download import Download, file_pieces, in_threads, zip_pieces
from wsi_dicom_server.presentation.slides import may_become_tiff
from wsi_dicom_server.presentation.subject import DATASET, FILES, MOST_DESCRIBED, TIFF
from wsi_dicom_server.replies import ANY_ORIGIN, REVALIDATE, Headers, Reply, json_document
from wsi_dicom_server.site import Site, site_of
from wsi_dicom_server.slide_pool import ServedSlide, stored_series


async def attributes(request: Request) -> Reply:
    """An array of data sets, one for each instance, as DICOMweb has it (PS3.18 10.4.1.1.2)."""
    site, patient = site_of(request), principal_of(request).identified
    record = await _record(request)
    if record.instance_count > MOST_DESCRIBED:
        raise NotFound(f"series {record.series_uid} has more than {MOST_DESCRIBED} instances to tell the attributes of")
    body = await site.decode(request, lambda: _described(site, record, patient=patient))
    return json_document(request, body, DATASET.media_type)


def _described(site: Site, record: SeriesRecord, *, patient: bool) -> bytes:
    dates = not site.settings.hide_dates
    found = (read_instance(path) for path in site.store.files(record))
    return json.dumps([json_attributes(instance, patient=patient, dates=dates) for instance in found]).encode()


async def files(request: Request) -> Response:
    """The DICOM files, which name the patient."""
    site = site_of(request)
    if not principal_of(request).identified:
        raise HTTPException(403, "DICOM files name the patient: only who has logged in, or has a token, may have them")
    record = await _record(request)
    named = [(f"{record.series_uid}/{path.name}", path) for path in site.store.files(record)]
    headers = _headers(f"{record.series_uid}.zip", FILES.media_type)
    return Download(headers, lambda: in_threads(zip_pieces(named)), site.downloads)


async def tiff(request: Request) -> Response:
    site = site_of(request)
    served = await site.slides.get(request.path_params["series"])
    if not may_become_tiff(served.slide):
        uid = served.record.series_uid
        raise NotFound(
            "this slide would have to be compressed anew, which takes too long to wait for; where its store is, "
            f"`dicom2tiff {uid} slide.tif` does it"
        )
    options = _tiff_options(served, patient=principal_of(request).identified, labels=not site.settings.hide_labels)
    headers = _headers(f"{served.record.series_uid}.tif", TIFF.media_type)
    return Download(headers, lambda: _converted(site, served, options), site.downloads)


def _tiff_options(served: ServedSlide, *, patient: bool, labels: bool) -> TiffOptions:
    left_out = frozenset() if labels else LABEL_IMAGES
    flavor = Flavor.TIFF if len(served.slide.pyramid.planes) == 1 else Flavor.OME
    return TiffOptions(PlanOptions(left_out=left_out), flavor, deidentify=not patient, threads=1)


async def _converted(site: Site, served: ServedSlide, options: TiffOptions) -> AsyncGenerator[bytes, None]:
    """Written to the disk first: where things lie in a TIFF is told in its beginning."""
    with TemporaryDirectory(prefix="wsi-dicom-", ignore_cleanup_errors=True) as folder:
        path = Path(folder) / TIFF.path
        await to_thread.run_sync(dicom_to_tiff, served.slide, path, options, limiter=site.exporting)
        opened = path.open("rb")
    async for piece in in_threads(file_pieces(opened)):
        yield piece


async def _record(request: Request) -> SeriesRecord:
    return await to_thread.run_sync(stored_series, site_of(request).store, request.path_params["series"])


def _headers(name: str, media_type: str) -> Headers:
    return [
        (b"content-type", media_type.encode()),
        (b"content-disposition", f'attachment; filename="{name}"'.encode()),
        (b"x-content-type-options", b"nosniff"),
        REVALIDATE,
        ANY_ORIGIN,
    ]


routes = [
    Route(f"/iiif/series/{{series}}/{DATASET.path}", attributes),
    Route(f"/iiif/series/{{series}}/{FILES.path}", files),
    Route(f"/iiif/series/{{series}}/{TIFF.path}", tiff),
]
