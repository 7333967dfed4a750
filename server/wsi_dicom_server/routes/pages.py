"""What people look at: the list of slides, the viewer, the pictures beside a slide, and our own files."""

from __future__ import annotations

from typing import Final

from anyio import to_thread
from starlette.requests import Request
from starlette.routing import Route

from wsi_dicom.codecs.transfer_syntaxes import JPEG_BASELINE
from wsi_dicom.errors import InvalidRequest, NotFound
from wsi_dicom.render import ImageRequest, PictureFormat, encode_picture, jpeg_file, render
from wsi_dicom.slide import AssociatedImage, ImageFlavor, Slide
from wsi_dicom.stores import SeriesRecord
from wsi_dicom_server import markup
from wsi_dicom_server.replies import ANY_ORIGIN, REVALIDATE, Reply, not_modified, picture, unchanged
from wsi_dicom_server.site import Site, site_of

_PER_PAGE: Final = 24
_THUMBNAIL_SIDE: Final = 512
_FLAVORS: Final = {flavor.value.lower(): flavor for flavor in ImageFlavor if flavor is not ImageFlavor.VOLUME}


async def series_list(request: Request) -> Reply:
    site, page = site_of(request), _page_number(request.query_params.get("page", "1"))
    records = await to_thread.run_sync(_records, site, page)
    text = markup.list_page(site.base_url(request), records[:_PER_PAGE], page, len(records) > _PER_PAGE)
    return _html(text)


def _records(site: Site, page: int) -> list[SeriesRecord]:
    """Those of a page, and one more when another page follows."""
    return list(site.store.search(limit=_PER_PAGE + 1, offset=(page - 1) * _PER_PAGE))


def _page_number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 8 and int(text) > 0):
        raise InvalidRequest(f"page {text[:20]!r}: expected a number from 1")
    return int(text)


async def viewer(request: Request) -> Reply:
    site, series = site_of(request), request.path_params["series"]
    served = await site.slides.get(series)
    return _html(markup.viewer_page(site.base_url(request), series, served.record, served.slide))


async def associated(request: Request) -> Reply:
    """`label`, `overview` or `thumbnail`; a slide without a thumbnail gets one from its levels."""
    site, parameters = site_of(request), request.path_params
    served = await site.slides.get(parameters["series"])
    slide, flavor = served.slide, _FLAVORS.get(parameters["flavor"])
    image = slide.associated.get(flavor) if flavor is not None else None
    if image is None and flavor is not ImageFlavor.THUMBNAIL:
        raise NotFound(f"series {parameters['series']} has no picture {parameters['flavor'][:20]!r}")
    etag = f'"{served.tag}-{parameters["flavor"]}"'
    if unchanged(request, etag):
        return not_modified(etag)
    body, picture_format = await site.decode(
        request, lambda: _associated(slide, image) if image is not None else _thumbnail(slide)
    )
    return picture(body, picture_format.media_type, etag)


def _associated(slide: Slide, image: AssociatedImage) -> tuple[bytes, PictureFormat]:
    encoded = image.encoded()
    if encoded is not None and encoded.encoding.transfer_syntax == JPEG_BASELINE:
        return jpeg_file(encoded), PictureFormat.JPG
    picture_format = PictureFormat.PNG if image.lossy_method is None else PictureFormat.JPG
    return encode_picture(image.pixels(), picture_format, window=slide.metadata.window), picture_format


def _thumbnail(slide: Slide) -> tuple[bytes, PictureFormat]:
    base = slide.pyramid.base
    scale = min(1.0, _THUMBNAIL_SIDE / base.width, _THUMBNAIL_SIDE / base.height)
    width, height = max(1, int(base.width * scale)), max(1, int(base.height * scale))
    return render(slide, ImageRequest(base.bounds, width, height)), PictureFormat.JPG


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
    if unchanged(request, file.etag):
        return not_modified(file.etag, REVALIDATE)
    headers = [
        (b"content-type", file.media_type.encode()),
        (b"etag", file.etag.encode()),
        (b"x-content-type-options", b"nosniff"),
        REVALIDATE,
        ANY_ORIGIN,
    ]
    return Reply(200, headers, file.body)


def _html(text: str) -> Reply:
    headers = [(b"content-type", b"text/html; charset=utf-8"), (b"cache-control", b"no-cache"), *markup.SECURITY]
    return Reply(200, headers, text.encode())


routes = [
    Route("/", series_list),
    Route("/viewer/{series}", viewer),
    Route("/associated/{series}/{flavor}", associated),
    Route("/static/{path:path}", static_file),
    Route("/favicon.svg", favicon),
    Route("/favicon.ico", favicon),
]
