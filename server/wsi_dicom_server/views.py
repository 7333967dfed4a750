"""What the viewer is told of a series: gathered from its record, its open slide or image, and the settings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from anyio import to_thread
from starlette.requests import Request

from wsi_dicom.channel_names import channel_names
from wsi_dicom.composite import all_channels
from wsi_dicom.errors import OutOfBounds
from wsi_dicom.geometry import Spacing
from wsi_dicom.slide import ImageFlavor, Slide
from wsi_dicom.stores import SeriesRecord
from wsi_dicom_server.access.principal import principal_of
from wsi_dicom_server.addresses import home_url
from wsi_dicom_server.captions import image_count, patient_facts, series_facts, slide_facts, slide_title
from wsi_dicom_server.images import shown_flavors
from wsi_dicom_server.markup_viewer import ShownSeries
from wsi_dicom_server.presentation.slides import may_become_tiff
from wsi_dicom_server.presentation.subject import FILES, TIFF
from wsi_dicom_server.site import Site, site_of
from wsi_dicom_server.slide_pool import stored_series

_BESIDE: Final = (ImageFlavor.LABEL, ImageFlavor.OVERVIEW)
_TOLD: Final[dict[str, Any]] = {
    "spacingUm": None,
    "spacingYUm": None,
    "objective": None,
    "paths": [],
    "focalPlanes": 1,
    "focalSpacingUm": None,
    "channels": False,
    "dark": False,
    "frames": None,
    "firstFrame": 0,
    "window": False,
}
"""What the scripts are told of a series that has nothing to tell. `paths` have names and colours."""


async def shown_series(request: Request, identifier: str, frame: int = 0) -> ShownSeries:
    """A slide, the frames of another series, or those of an instance, shown from `frame` on.

    Raises NotFound, OutOfBounds, and what opening a slide or an image raises.
    """
    site = site_of(request)
    record, instance_frames = await to_thread.run_sync(_found, site, identifier)
    if instance_frames is None and record.width is not None:
        return await _slide(request, identifier, record)
    return await _frames(request, identifier, record, instance_frames or record.frame_count, frame)


def _found(site: Site, identifier: str) -> tuple[SeriesRecord, int | None]:
    """The series, with the number of frames when the identifier is that of one of its instances."""
    instance = site.store.find_instance(identifier)
    if instance is None:
        return stored_series(site.store, identifier), None
    return stored_series(site.store, instance.series_uid), instance.frames


async def _slide(request: Request, identifier: str, record: SeriesRecord) -> ShownSeries:
    site, root = site_of(request), home_url(request)
    slide = (await site.slides.get(identifier)).slide
    told = _TOLD | _slide_told(slide) | {"image": f"{root}/iiif/tiles/{identifier}"}
    flavors = [flavor for flavor in _BESIDE if flavor in shown_flavors(site, slide)]
    beside = [(flavor.capitalize(), f"{root}/associated/{identifier}/{flavor.lower()}") for flavor in flavors]
    facts = slide_facts(record, slide, dates=not site.settings.hide_dates)
    return _shown(request, identifier, record, facts, told, beside, tiff=may_become_tiff(slide))


async def _frames(request: Request, identifier: str, record: SeriesRecord, frames: int, first: int) -> ShownSeries:
    if not 0 <= first < max(frames, 1):
        raise OutOfBounds(f"frame {first}: there are {frames}, counted from 0")
    site = site_of(request)
    image = (await site.frames.get(identifier, first)).image
    told = _TOLD | _spacing_told(image.spacing)
    told |= {"dark": image.gray or record.width is None, "frames": frames, "firstFrame": first, "window": image.gray}
    told |= {"image": f"{home_url(request)}/iiif/frames/{identifier}"}
    return _shown(request, identifier, record, series_facts(record, dates=not site.settings.hide_dates), told)


def _shown(
    request: Request,
    identifier: str,
    record: SeriesRecord,
    facts: Sequence[tuple[str, str]],
    told: dict[str, Any],
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
        shown=told | {"title": title},
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


def _slide_told(slide: Slide) -> dict[str, Any]:
    pyramid, gray = slide.pyramid, slide.pyramid.pixel_format.samples == 1
    colors = {channel.path: channel.color for channel in all_channels(slide)} if gray else {}
    return _spacing_told(pyramid.spacing) | {
        "objective": slide.metadata.objective_power,
        "paths": [
            {"name": name, "color": bytes(colors.get(number, (255, 255, 255))).hex()}
            for number, name in enumerate(channel_names(slide.metadata.optical_paths, pyramid.optical_paths))
        ],
        "focalPlanes": pyramid.focal_planes,
        "focalSpacingUm": pyramid.focal_spacing_um,
        "channels": gray and pyramid.optical_paths == len(colors),
        "dark": gray,
    }


def _spacing_told(spacing: Spacing | None) -> dict[str, Any]:
    return {} if spacing is None else {"spacingUm": spacing.x_mm * 1000, "spacingYUm": spacing.y_mm * 1000}
