"""What a manifest tells of a whole slide: the slide, with its planes to choose from, its overview and its label."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Final

from wsi_dicom.channel_names import channel_names
from wsi_dicom.codecs.transfer_syntaxes import JPEG_BASELINE
from wsi_dicom.geometry import Pyramid
from wsi_dicom.slide import ImageFlavor, Slide
from wsi_dicom_server.access.principal import Principal
from wsi_dicom_server.captions import calendar_date, patient_facts, slide_facts, slide_title
from wsi_dicom_server.iiif_info import image_sizes
from wsi_dicom_server.iiif_parameters import SizeLimits
from wsi_dicom_server.image_identifiers import shown_flavors
from wsi_dicom_server.presentation.subject import (
    DATASET,
    FILES,
    MOST_DESCRIBED,
    TIFF,
    Canvas,
    ShownImage,
    Subject,
    series_path,
    study_path,
)
from wsi_dicom_server.site import Site
from wsi_dicom_server.slide_pool import ServedSlide

_MOST_PLANES: Final = 500
"""Of a slide that are listed."""

_MOST_ENCODED: Final = 1 << 28
"""Pixels of a slide that is compressed anew for a download."""

_BESIDE: Final = (ImageFlavor.OVERVIEW, ImageFlavor.LABEL)


def slide_subject(site: Site, series: str, served: ServedSlide, principal: Principal) -> Subject:
    """`series` is what it is called in the address that was asked for; `principal` is who asks."""
    patients = principal.identified
    slide, record, dates = served.slide, served.record, not site.settings.hide_dates
    title, pyramid = slide_title(record), slide.pyramid
    limits = SizeLimits(site.settings.max_pixels)
    planes = tuple(islice(_images(series, title, slide, limits), _MOST_PLANES))
    return Subject(
        path=series_path(series),
        viewer=series,
        title=title,
        facts=[*slide_facts(record, slide, dates=dates), *(patient_facts(record) if patients else ())],
        canvases=[
            Canvas("canvas", title, planes, pyramid.spacing),
            *(_beside(series, slide, flavor) for flavor in _BESIDE if flavor in shown_flavors(site, slide)),
        ],
        datasets=[DATASET] if record.instance_count <= MOST_DESCRIBED else (),
        downloads=[
            *([TIFF] if may_become_tiff(slide) else ()),
            *([FILES] if patients else ()),  # the files name them
        ],
        date=calendar_date(record.study_date) if dates else "",
        holder=study_path(record.study_orthanc_id) if principal.series is None else None,
    )


def may_become_tiff(slide: Slide) -> bool:
    """Whether that is quick, because tiles are copied, or its finest level has at most 2^28 pixels."""
    levels = range(len(slide.pyramid.levels))
    copied = all((stored := slide.encoding(level)) and stored.transfer_syntax == JPEG_BASELINE for level in levels)
    return copied or slide.pyramid.base.width * slide.pyramid.base.height <= _MOST_ENCODED


def _images(series: str, title: str, slide: Slide, limits: SizeLimits) -> Iterator[ShownImage]:
    """All channels together, if there are several, of each focal plane; then each channel so."""
    pyramid, sizes = slide.pyramid, image_sizes(slide.pyramid, limits)

    def image(path: str, label: str) -> ShownImage:
        return ShownImage(path, label, pyramid.base.width, pyramid.base.height, sizes)

    if len(pyramid.planes) == 1:
        yield image(f"tiles/{series}", title)
        return
    if pyramid.has_channels:
        for focal in range(pyramid.focal_planes):
            part = f"channels.{focal + 1}" if focal else "channels"
            yield image(f"tiles/{series}:{part}", _label(pyramid, "All channels", focal))
    several = pyramid.optical_paths > 1
    names = channel_names(slide.metadata.optical_paths, pyramid.optical_paths) if several else [""]
    for plane in pyramid.planes:
        part = f"{plane.optical_path + 1}.{plane.focal_plane + 1}"
        label = _label(pyramid, names[plane.optical_path], plane.focal_plane)
        yield image(f"tiles/{series}:{part}", label)


def _label(pyramid: Pyramid, channel: str, focal_plane: int) -> str:
    names = [channel] if channel else []
    if pyramid.focal_planes > 1:
        names.append(f"focal plane {focal_plane + 1}")
        if pyramid.focal_spacing_um:
            names.append(f"{focal_plane * pyramid.focal_spacing_um:g} µm")
    return ", ".join(names)


def _beside(series: str, slide: Slide, flavor: ImageFlavor) -> Canvas:
    image, name = slide.associated[flavor], flavor.lower()
    shown = ShownImage(f"tiles/{series}:{name}", flavor.capitalize(), image.width, image.height)
    return Canvas(f"canvas/{name}", flavor.capitalize(), (shown,))
