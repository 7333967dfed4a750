"""From a slide, a DICOM series as a rule, to a TIFF."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path

from wsi_dicom.checked import BadTile, CheckedSlide
from wsi_dicom.convert.observer import Observer, carry_out, usable_cores
from wsi_dicom.part import PartOptions, part_of
from wsi_dicom.plan import ConversionPlan, PlanOptions, largest_total, make_plan
from wsi_dicom.slide import LABEL_IMAGES, Slide
from wsi_dicom.stores.staging import staged_file
from wsi_dicom.tiff.flavors import Flavor, flavor_of
from wsi_dicom.tiff.flavors.pages import SOFTWARE, TiffSubject
from wsi_dicom.tiff.writer import CLASSIC_LIMIT, TiffWriter

logger = logging.getLogger(__name__)


class BigTiff(StrEnum):
    """Whether a file is a BigTIFF; `auto`: when it may become larger than a classic TIFF can be, 4 GiB."""

    AUTO = "auto"
    YES = "yes"
    NO = "no"


@dataclass(frozen=True, slots=True)
class TiffOptions:
    """What `dicom2tiff` may be told.

    `deidentify`: no UIDs, dates and serial numbers, no label, no overview. `blank_bad_tiles`: a tile that cannot be
    read becomes background, and is told in the result; else it ends the conversion.
    """

    plan: PlanOptions = field(default_factory=PlanOptions)
    flavor: Flavor = Flavor.TIFF
    big: BigTiff = BigTiff.AUTO
    part: PartOptions = field(default_factory=PartOptions)
    deidentify: bool = False
    blank_bad_tiles: bool = False
    threads: int = field(default_factory=usable_cores)


@dataclass(frozen=True, slots=True)
class TiffWritten:
    """What came of `dicom_to_tiff`."""

    plan: ConversionPlan
    bad_tiles: tuple[BadTile, ...] = ()

    def __str__(self) -> str:
        """A line per picture, for people."""
        return str(self.plan)


def dicom_to_tiff(slide: Slide, output: Path, options: TiffOptions, observer: Observer | None = None) -> TiffWritten:
    """Writes `slide`, or a part of it, as a tiled, pyramidal TIFF. `output` appears, or is replaced, when complete.

    Raises CorruptInput, CodecError, UnsupportedFormat, OutOfBounds, NotFound, InvalidRequest, StoreError.
    """
    flavor = flavor_of(options.flavor)
    checked = CheckedSlide(
        slide,
        verify=options.plan.verify,
        blank=options.blank_bad_tiles,
        sampled_alike=flavor.container.sampled_alike,
        anonymous=options.deidentify,
    )
    part = part_of(checked, options.part)  # of the checked one: bad tiles are told by where they are in the slide
    plan = make_plan(part, _plan_options(options), flavor.container)
    logger.info("%s: %s", slide.name, plan)
    subject = TiffSubject(part, plan, anonymous=options.deidentify)
    total = sum(largest_total(part, level) for level in plan.levels) + _beside_levels(subject)
    big = options.big is BigTiff.YES or (options.big is BigTiff.AUTO and total > CLASSIC_LIMIT)
    with ExitStack() as stack:
        staged = stack.enter_context(staged_file(output, slide.files))
        writer = stack.enter_context(TiffWriter(staged, big=big, software=SOFTWARE, acquired=subject.acquired))
        carry_out(part, plan, flavor.add_pages(writer, subject), options.threads, staged.parent, observer)
    return TiffWritten(plan, checked.bad_tiles)


def _beside_levels(subject: TiffSubject) -> int:
    """Upper bound of the bytes of associated images and of the colour profile, which every page has."""
    slide, plan = subject.slide, subject.plan
    images = [slide.associated[flavor] for flavor in plan.associated]
    raw = sum(image.width * image.height * image.pixel_format.bytes_per_pixel for image in images)
    pages = len(plan.planes) * len(plan.levels) + len(images)
    return 2 * raw + pages * len(slide.metadata.icc_profile or b"")


def _plan_options(options: TiffOptions) -> PlanOptions:
    """A label or overview shows what is written on the glass."""
    if not options.deidentify:
        return options.plan
    left_out = options.plan.left_out | LABEL_IMAGES
    return replace(options.plan, left_out=left_out, anonymous=True)
