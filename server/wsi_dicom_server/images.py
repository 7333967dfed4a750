"""What an image identifier in an address means: a slide, one of its planes, or a picture that comes with it; and
answers with pictures of it.

    {series}                          the first plane
    {series}:{path}.{focal plane}     another one, both counted from 1
    {series}:label|overview|thumbnail an associated image
    {series}:channels                 the optical paths of a fluorescence slide, each in its colour, over each other
    {series}:channels.{focal plane}   of another focal plane than the first; `?channels=1:ff0000:0-4000,3` chooses

A series is named by its SeriesInstanceUID or its Orthanc identifier.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response

from wsi_dicom.associated_slide import AssociatedSlide
from wsi_dicom.composite import CompositeSlide, all_channels, read_channels
from wsi_dicom.errors import NotFound
from wsi_dicom.geometry import FIRST_PLANE, Plane
from wsi_dicom.region import MAX_PIXELS
from wsi_dicom.render import ImageRequest, render, stored_picture
from wsi_dicom.slide import ImageFlavor, Slide
from wsi_dicom_server.replies import Headers, Reply
from wsi_dicom_server.site import Site, site_of
from wsi_dicom_server.slide_pool import ServedSlide
from wsi_dicom_server.unread import MadePicture, largest_file

_PLANE: Final = re.compile(r"([1-9][0-9]{0,4})\.([1-9][0-9]{0,4})", re.ASCII)
_CHANNELS: Final = re.compile(r"channels(?:\.([1-9][0-9]{0,4}))?", re.ASCII)
_FLAVORS: Final = {flavor.lower(): flavor for flavor in ImageFlavor if flavor is not ImageFlavor.VOLUME}

_OF_LABEL: Final = (ImageFlavor.LABEL, ImageFlavor.OVERVIEW)
"""Both show it (PS3.3 C.8.12.4.1.1), and what is written there may name a patient."""


@dataclass(frozen=True, slots=True)
class ServedImage:
    """What is shown: a plane of a slide. `tag` begins all entity tags; `owner` is what must live while it is shown.

    `query` ends the addresses of just this image: with a question mark, or empty.
    """

    slide: Slide
    plane: Plane
    tag: str
    owner: object
    query: str = ""


async def image_of(site: Site, identifier: str, query: bytes = b"") -> ServedImage:
    """`query` is that of the address. Raises NotFound, InvalidRequest, and what opening a slide raises."""
    series, _, part = identifier.partition(":")
    served = await site.slides.get(series)
    if not part:
        return ServedImage(served.slide, FIRST_PLANE, served.tag, served)
    tag = f"{served.tag}-{part}"
    if (plane := _plane(served.slide, part)) is not None:
        return ServedImage(served.slide, plane, tag, served)
    if (match := _CHANNELS.fullmatch(part)) is not None:
        return _composite(site, served, int(match[1] or 1) - 1, QueryParams(query).get("channels"))
    flavor = _FLAVORS.get(part)
    if flavor is None or flavor not in shown_flavors(site, served.slide):
        raise NotFound(f"series {series} has no picture {part[:40]!r}")
    return ServedImage(AssociatedSlide(served.slide, flavor, site.decoded, tag), FIRST_PLANE, tag, served)


def _composite(site: Site, served: ServedSlide, focal_plane: int, chosen: str | None) -> ServedImage:
    slide = served.slide
    if slide.pyramid.pixel_format.samples != 1:
        raise NotFound("this slide is in colours: it has no channels that could be given one")
    plane = _existing_plane(slide, Plane(0, focal_plane))
    channels = all_channels(slide) if chosen is None else read_channels(chosen, slide)
    composite = CompositeSlide(slide, channels, site.decoded, served.tag)
    query = "" if chosen is None else f"?channels={chosen}"
    return ServedImage(composite, plane, f"{served.tag}-channels.{focal_plane + 1}{query}", served, query)


def shown_flavors(site: Site, slide: Slide) -> tuple[ImageFlavor, ...]:
    """The associated images of a slide that may be shown: without those of its label where `hide_labels` is set."""
    hidden = _OF_LABEL if site.settings.hide_labels else ()
    return tuple(flavor for flavor in slide.associated if flavor not in hidden)


def _plane(slide: Slide, part: str) -> Plane | None:
    """Raises NotFound for one that the slide lacks."""
    match = _PLANE.fullmatch(part)
    if match is None:
        return None
    return _existing_plane(slide, Plane(int(match[1]) - 1, int(match[2]) - 1))


def _existing_plane(slide: Slide, plane: Plane) -> Plane:
    """Raises NotFound for one that the slide lacks."""
    if plane.optical_path >= slide.pyramid.optical_paths or plane.focal_plane >= slide.pyramid.focal_planes:
        raise NotFound(
            f"no plane {plane.optical_path + 1}.{plane.focal_plane + 1}: the slide has "
            f"{slide.pyramid.optical_paths} optical paths and {slide.pyramid.focal_planes} focal planes"
        )
    return plane


def picture_answer(
    request: Request, image: ServedImage, wanted: ImageRequest, headers: Headers, max_pixels: int = MAX_PIXELS
) -> Response:
    """The stored tile if that is what is `wanted`, read here in the event loop; else a picture made once for all."""
    site, slide = site_of(request), image.slide
    settings = site.settings
    stored = stored_picture(slide, wanted, settings.colors)
    if stored is not None:
        return Reply(200, headers, stored)

    def made() -> bytes:
        return render(slide, wanted, jpeg_quality=settings.jpeg_quality, max_pixels=max_pixels, colors=settings.colors)

    return MadePicture(
        headers,
        largest_file(*wanted.turned_size),
        lambda: site.answers.get((image.tag, wanted), lambda: site.decode(request, made)),
        site.unread,
    )
