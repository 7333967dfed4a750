"""`/associated/{series}/...`: the pictures beside a slide, and a thumbnail of every series that has images."""

from __future__ import annotations

from typing import Final

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from wsi_dicom.errors import NotFound
from wsi_dicom.picture_file import PictureFormat
from wsi_dicom.render import ImageRequest
from wsi_dicom.slide import ImageFlavor
from wsi_dicom_server.iiif_parameters import SizeLimits
from wsi_dicom_server.image_identifiers import ServedImage, frame_image, image_of, shown_flavors
from wsi_dicom_server.pictures import picture_of
from wsi_dicom_server.site import Site, site_of
from wsi_dicom_server.slide_pool import stored_series

_THUMBNAIL_SIDE: Final = 512
_BESIDE: Final = frozenset({"label", "overview"})


async def associated(request: Request) -> Response:
    """`label` or `overview` in their own size, as far as `max_pixels` lets them; without loss where they are stored so.

    Raises NotFound, and what opening a slide raises.
    """
    series, flavor = request.path_params["series"], request.path_params["flavor"]
    if flavor not in _BESIDE:
        raise NotFound(f"series {series} has no picture {flavor[:20]!r}")
    image = await image_of(site_of(request), f"{series}:{flavor}")
    return _whole(request, image, PictureFormat.PNG if image.slide.lossy_method(0) is None else PictureFormat.JPG)


async def thumbnail(request: Request) -> Response:
    """Of 512 pixels at most on a side. Raises NotFound, and what opening a slide or an image raises."""
    image = await _thumbnail_of(site_of(request), request.path_params["series"])
    return _whole(request, image, PictureFormat.JPG, _THUMBNAIL_SIDE)


async def _thumbnail_of(site: Site, series: str) -> ServedImage:
    """Of a slide that which it has, or all its channels; of other series the frame in the middle."""
    record = await to_thread.run_sync(stored_series, site.store, series)
    if record.width is None:
        counted = await site.frames.counted(series)
        return await frame_image(site, series, counted.total // 2)
    slide = (await site.slides.get(series)).slide
    if ImageFlavor.THUMBNAIL in shown_flavors(site, slide):
        return await image_of(site, f"{series}:thumbnail")
    return await image_of(site, f"{series}:channels" if slide.pyramid.has_channels else series)


def _whole(request: Request, image: ServedImage, picture_format: PictureFormat, side: int | None = None) -> Response:
    """All of it, shrunk where it is over the limits, or has a longer side."""
    limits, base = SizeLimits(site_of(request).settings.max_pixels), image.slide.pyramid.base
    scale = min(1.0, side / max(base.width, base.height)) if side is not None else 1.0
    width, height = (max(1, round(length * scale)) for length in (base.width, base.height))
    if not limits.allow(width, height):
        scale = limits.scale(width, height)
        width, height = max(1, int(width * scale)), max(1, int(height * scale))
    wanted = ImageRequest(base.bounds, width, height, format=picture_format, plane=image.plane)
    return picture_of(request, image, wanted, f"{width}-{picture_format}")


routes = [
    Route("/associated/{series}/thumbnail", thumbnail),
    Route("/associated/{series}/{flavor}", associated),
]
