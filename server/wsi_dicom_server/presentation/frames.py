"""What a manifest tells of a series that is no whole slide: a canvas for each frame, in the order of its instances.

And what it tells of a single frame of any image.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, islice
from typing import Final

from wsi_dicom.geometry import Pyramid
from wsi_dicom.stores import InstanceRecord, SeriesRecord
from wsi_dicom_server.access.principal import Principal
from wsi_dicom_server.captions import calendar_date, patient_facts, series_facts, slide_title
from wsi_dicom_server.iiif_info import image_sizes
from wsi_dicom_server.iiif_parameters import SizeLimits
from wsi_dicom_server.presentation.subject import (
    DATASET,
    FILES,
    MOST_DESCRIBED,
    Canvas,
    Range,
    ShownImage,
    Subject,
    frame_path,
    series_path,
    study_path,
)
from wsi_dicom_server.settings import ServerSettings

_MOST_CANVASES: Final = 2000
"""Of one manifest, which is megabytes then already."""


def frames_subject(
    series: str,
    record: SeriesRecord,
    images: Sequence[InstanceRecord],
    settings: ServerSettings,
    principal: Principal,
) -> Subject:
    """`series` is what it is called in the address that was asked for, `images` are those that may be shown of it;
    `principal` is who asks.
    """
    groups = _grouped(series, images)
    several = len(groups) > 1 and any(len(group) > 1 for group in groups)
    canvases, dates = list(chain.from_iterable(groups)), not settings.hide_dates
    facts = [*series_facts(record, dates=dates), *(patient_facts(record) if principal.identified else ())]
    if len(canvases) < sum(image.frames for image in images):
        facts.append(("Shown", f"the first {len(canvases)} images"))
    return Subject(
        path=series_path(series),
        viewer=series,
        title=slide_title(record),
        facts=facts,
        canvases=canvases,
        ranges=[Range(f"Image {number}", group) for number, group in enumerate(groups, 1)] if several else (),
        datasets=[DATASET] if record.instance_count <= MOST_DESCRIBED else (),
        downloads=[FILES] if principal.identified else (),
        date=calendar_date(record.study_date) if dates else "",
        holder=study_path(record.study_orthanc_id) if principal.series is None else None,
    )


def frame_subject(
    identifier: str,
    number: int,
    pyramid: Pyramid,
    record: SeriesRecord,
    settings: ServerSettings,
    principal: Principal,
) -> Subject:
    """Of frame `number` of a series or an instance called `identifier`, whose levels are those of `pyramid`.

    `record` is the series that it is in.
    """
    base, dates = pyramid.base, not settings.hide_dates
    label, sizes = f"Frame {number + 1}", image_sizes(pyramid, SizeLimits(settings.max_pixels))
    shown = ShownImage(f"frames/{identifier}/{number}", label, base.width, base.height, sizes)
    return Subject(
        path=frame_path(identifier, number),
        viewer=f"{identifier}?frame={number}",
        title=f"{slide_title(record)}, {label.lower()}",
        facts=[*series_facts(record, dates=dates), *(patient_facts(record) if principal.identified else ())],
        canvases=[Canvas("canvas", label, (shown,), pyramid.spacing)],
        date=calendar_date(record.study_date) if dates else "",
        holder=study_path(record.study_orthanc_id) if principal.series is None else None,
    )


def _grouped(series: str, images: Sequence[InstanceRecord]) -> list[list[Canvas]]:
    """The canvases of each image."""
    numbers = iter(range(_MOST_CANVASES))
    groups = (list(_canvases(series, image, islice(numbers, image.frames))) for image in images)
    return [group for group in groups if group]


def _canvases(series: str, image: InstanceRecord, numbers: Iterator[int]) -> Iterator[Canvas]:
    for number in numbers:
        shown = ShownImage(f"frames/{series}/{number}", f"Frame {number + 1}", image.width, image.height)
        yield Canvas(f"canvas/{number}", f"Frame {number + 1}", (shown,))
