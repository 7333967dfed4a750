"""`/associated/{series}/...`: the pictures beside a slide, and a thumbnail of every series that has images."""

from __future__ import annotations

from typing import Final

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from wsi_dicom.dicom.frame_slide import FrameSlide
from wsi_dicom.errors import NotFound
from wsi_dicom.geometry import FIRST_PLANE
from wsi_dicom.picture_file import PictureFormat
from wsi_dicom.render import ImageRequest
from wsi_dicom.slide import ImageFlavor
from wsi_dicom_server.images import ServedImage, image_of, picture_answer, shown_flavors
from wsi_dicom_server.replies import entity_tag, not_modified, picture_headers, unchanged
from wsi_dicom_server.site import Site, site_of
from wsi_dicom_server.slide_pool import stored_series

_THUMBNAIL_SIDE: Final = 512
_BESIDE: Final = frozenset({"label", "overview"})


async def associated(request: Request) -> Response:
    """`label` or `overview` in their own size, without loss where they are stored so."""
    series, flavor = request.path_params["series"], request.path_params["flavor"]
    if flavor not in _BESIDE:
        raise NotFound(f"series {series} has no picture {flavor[:20]!r}")
    image = await image_of(site_of(request), f"{series}:{flavor}")
    lossless = image.slide.lossy_method(0) is None
    base = image.slide.pyramid.base
    wanted = ImageRequest(
        base.bounds, base.width, base.height, format=PictureFormat.PNG if lossless else PictureFormat.JPG
    )
    return await _answer(request, image, wanted)


async def thumbnail(request: Request) -> Response:
    image = await _thumbnail_of(site_of(request), request.path_params["series"])
    base = image.slide.pyramid.base
    scale = min(1.0, _THUMBNAIL_SIDE / base.width, _THUMBNAIL_SIDE / base.height)
    width, height = max(1, round(base.width * scale)), max(1, round(base.height * scale))
    return await _answer(request, image, ImageRequest(base.bounds, width, height, plane=image.plane))


async def _thumbnail_of(site: Site, series: str) -> ServedImage:
    """Of a slide that which it has, or all its channels; of other series the frame in the middle."""
    record = await to_thread.run_sync(stored_series, site.store, series)
    if record.width is None:
        frame = await site.frames.get(series, record.frame_count // 2)
        shown = FrameSlide(frame.image, frame.frame, site.decoded, frame.tag)
        return ServedImage(shown, FIRST_PLANE, frame.tag, frame)
    slide = (await site.slides.get(series)).slide
    if ImageFlavor.THUMBNAIL in shown_flavors(site, slide):
        return await image_of(site, f"{series}:thumbnail")
    several = slide.pyramid.pixel_format.samples == 1 and slide.pyramid.optical_paths > 1
    return await image_of(site, f"{series}:channels" if several else series)


async def _answer(request: Request, image: ServedImage, wanted: ImageRequest) -> Response:
    etag = f'"{image.tag}-{site_of(request).settings.colors}-{wanted.width}-{wanted.format}"'
    headers = picture_headers(wanted.format.media_type, entity_tag(etag))
    return not_modified(headers) if unchanged(request, etag) else picture_answer(request, image, wanted, headers)


routes = [
    Route("/associated/{series}/thumbnail", thumbnail),
    Route("/associated/{series}/{flavor}", associated),
]
