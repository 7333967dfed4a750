"""What the viewer is told of a series: gathered from its record, its open slide or image, and the settings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from starlette.requests import Request

from wsi_dicom.channel_names import channel_names
from wsi_dicom.composite import all_channels
from wsi_dicom.slide import WHITE, ImageFlavor, Slide
from wsi_dicom.stores import SeriesRecord
from wsi_dicom_server.access.principal import principal_of
from wsi_dicom_server.addresses import home_url
from wsi_dicom_server.captions import image_count, patient_facts, series_facts, slide_facts, slide_title
from wsi_dicom_server.frame_pool import CountedFrames
from wsi_dicom_server.image_identifiers import shown_flavors
from wsi_dicom_server.markup_viewer import ShownPath, ShownPicture, ShownSeries
from wsi_dicom_server.presentation.slides import may_become_tiff
from wsi_dicom_server.presentation.subject import FILES, TIFF
from wsi_dicom_server.site import Site, site_of

_BESIDE: Final = (ImageFlavor.LABEL, ImageFlavor.OVERVIEW)


async def shown_series(request: Request, identifier: str, frame: int = 0) -> ShownSeries:
    """A slide, the frames of another series, or those of an instance, shown from `frame` on.

    Raises NotFound, OutOfBounds, and what opening a slide or an image raises.
    """
    site = site_of(request)
    counted = await site.frames.counted(identifier)
    record = counted.record
    if record.width is not None and identifier in (record.series_uid, record.orthanc_id):
        return await _slide(request, identifier, record)
    return await _frames(request, identifier, counted, frame)


async def _slide(request: Request, identifier: str, record: SeriesRecord) -> ShownSeries:
    site, root = site_of(request), home_url(request)
    slide = (await site.slides.get(identifier)).slide
    picture = _slide_picture(f"{root}/iiif/tiles/{identifier}", slide)
    flavors = [flavor for flavor in _BESIDE if flavor in shown_flavors(site, slide)]
    beside = [(flavor.capitalize(), f"{root}/associated/{identifier}/{flavor.lower()}") for flavor in flavors]
    facts = slide_facts(record, slide, dates=not site.settings.hide_dates)
    return _shown(request, identifier, record, facts, picture, beside, tiff=may_become_tiff(slide))


async def _frames(request: Request, identifier: str, counted: CountedFrames, first: int) -> ShownSeries:
    site, record, frames = site_of(request), counted.record, counted.total
    image = (await site.frames.get(identifier, first)).image
    picture = ShownPicture(
        f"{home_url(request)}/iiif/frames/{identifier}",
        dark=image.gray or record.width is None,
        spacing=image.spacing,
        frames=frames,
        first_frame=first,
        window=image.gray,
    )
    return _shown(request, identifier, record, series_facts(record, dates=not site.settings.hide_dates), picture)


def _shown(
    request: Request,
    identifier: str,
    record: SeriesRecord,
    facts: Sequence[tuple[str, str]],
    picture: ShownPicture,
    associated: Sequence[tuple[str, str]] = (),
    *,
    tiff: bool = False,
) -> ShownSeries:
    site, root, title = site_of(request), home_url(request), slide_title(record)
    series = f"{root}/iiif/series/{record.series_uid}"
    patient, downloads = patient_facts(record), [FILES]  # the files name the patient
    if not principal_of(request).identified:
        patient, downloads = [], []
    if tiff:
        downloads.insert(0, TIFF)
    return ShownSeries(
        identifier=identifier,
        title=title,
        summary=" · ".join(_in_a_line(name, value) for name, value in facts[:4]),
        facts=[*patient, *facts],
        shown=picture,
        associated=associated,
        manifest=f"{series}/manifest.json" if site.settings.iiif else None,
        links=_links(site, root, record.series_uid),
        downloads=[(link.label, f"{series}/{link.path}") for link in downloads],
    )


def _links(site: Site, root: str, uid: str) -> list[tuple[str, str]]:
    links = []
    if site.shows_mirador:
        links.append(("Open in Mirador", f"{root}/mirador/{uid}"))
    if site.settings.openseadragon:
        links.append(("Open in OpenSeadragon as it comes", f"{root}/openseadragon/{uid}"))
    if site.settings.iiif:
        links.append(("IIIF manifest", f"{root}/iiif/series/{uid}/manifest.json"))
    return links


def _in_a_line(name: str, value: str) -> str:
    """A fact whose name does not stand beside it."""
    if name == "Images":
        return image_count(int(value))
    return f"{value} per pixel" if name == "Pixel spacing" else value


def _slide_picture(image: str, slide: Slide) -> ShownPicture:
    pyramid, gray = slide.pyramid, slide.pyramid.pixel_format.gray
    colors = {channel.path: channel.color for channel in all_channels(slide)} if gray else {}
    return ShownPicture(
        image,
        dark=gray,
        spacing=pyramid.spacing,
        objective=slide.metadata.objective_power,
        paths=[
            ShownPath(name, bytes(colors.get(number, WHITE)).hex())
            for number, name in enumerate(channel_names(slide.metadata.optical_paths, pyramid.optical_paths))
        ],
        focal_planes=pyramid.focal_planes,
        focal_spacing_um=pyramid.focal_spacing_um,
        channels=gray and pyramid.optical_paths == len(colors),
    )
