"""Which image an address means: a slide, one of its planes, a picture that comes with it, a frame.

    {series}                          the first plane
    {series}:{path}.{focal plane}     another one, both counted from 1
    {series}:label|overview|thumbnail an associated image
    {series}:channels                 the optical paths of a fluorescence slide, each in its colour, over each other
    {series}:channels.{focal plane}   of another focal plane than the first; `?channels=1:ff0000:0-4000,3` chooses

A series is named by its SeriesInstanceUID or its Orthanc identifier. Frames are those of a series, counted through its
instances, or of an instance; `?window=center,width` shows their grays as asked.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from starlette.datastructures import QueryParams

from wsi_dicom.associated_slide import AssociatedSlide
from wsi_dicom.composite import CompositeSlide, all_channels, read_channels
from wsi_dicom.dicom.frame_slide import FrameSlide
from wsi_dicom.dicom.window import voi_window
from wsi_dicom.errors import InvalidRequest, NotFound
from wsi_dicom.geometry import FIRST_PLANE, Plane
from wsi_dicom.metadata import Window
from wsi_dicom.slide import ImageFlavor, Slide
from wsi_dicom_server.site import Site
from wsi_dicom_server.slide_pool import ServedSlide

_PLANE: Final = re.compile(r"([1-9][0-9]{0,4})\.([1-9][0-9]{0,4})", re.ASCII)
_CHANNELS: Final = re.compile(r"channels(?:\.([1-9][0-9]{0,4}))?", re.ASCII)
_NUMBER = r"([+-]?\d{1,12}(?:\.\d{1,12})?)"
_WINDOW: Final = re.compile(f"{_NUMBER},{_NUMBER}(?:,(linear|linear-exact|sigmoid))?", re.ASCII)
_FLAVORS: Final = {flavor.lower(): flavor for flavor in ImageFlavor if flavor is not ImageFlavor.VOLUME}


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


async def frame_image(site: Site, identifier: str, number: int, window: str | None = None) -> ServedImage:
    """A frame, counted from 0; `window` is that of the address. Raises NotFound, OutOfBounds, InvalidRequest, and what
    opening an image raises.
    """
    frame = await site.frames.get(identifier, number)
    query = "" if window is None else f"?window={window}"
    tag = frame.tag + query
    slide = FrameSlide(frame.image, frame.frame, site.decoded, tag, None if window is None else _window(window))
    return ServedImage(slide, FIRST_PLANE, tag, frame, query)


def _composite(site: Site, served: ServedSlide, focal_plane: int, chosen: str | None) -> ServedImage:
    slide = served.slide
    if not slide.pyramid.pixel_format.gray:
        raise NotFound("this slide is in colours: it has no channels that could be given one")
    plane = _existing_plane(slide, Plane(0, focal_plane))
    channels = all_channels(slide) if chosen is None else read_channels(chosen, slide)
    composite = CompositeSlide(slide, channels, site.decoded, served.tag)
    query = "" if chosen is None else f"?channels={chosen}"
    return ServedImage(composite, plane, f"{served.tag}-channels.{focal_plane + 1}{query}", served, query)


def shown_flavors(site: Site, slide: Slide) -> tuple[ImageFlavor, ...]:
    """The associated images of a slide that may be shown: without those of its label where `hide_labels` is set."""
    hide = site.settings.hide_labels
    return tuple(flavor for flavor in slide.associated if not (hide and flavor.shows_label))


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


def _window(text: str) -> Window:
    """As in `window` of DICOMweb (PS3.18 8.3.5.1.4). Raises InvalidRequest."""
    if match := _WINDOW.fullmatch(text):
        function = (match[3] or "linear").upper().replace("-", "_")
        if (window := voi_window(float(match[1]), float(match[2]), function)) is not None:
            return window
    raise InvalidRequest(f"window {text[:40]!r}: expected center,width as in 40,400; the width at least 1")
