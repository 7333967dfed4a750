"""What the kinds of TIFF have in common: pages of levels and of pictures, and what is told about the slide."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from wsi_dicom import __version__
from wsi_dicom.frames import FrameSink, associated_frame
from wsi_dicom.geometry import Level, Spacing
from wsi_dicom.plan import Container, ConversionPlan
from wsi_dicom.slide import ImageFlavor, Slide
from wsi_dicom.tiff.page import LEVEL, REDUCED, Page
from wsi_dicom.tiff.writer import TiffWriter

SOFTWARE: Final = f"wsi-dicom {__version__}"


@dataclass(frozen=True, slots=True)
class TiffSubject:
    """A slide that is written as TIFF, and how. An `anonymous` one says nothing that leads back to a patient."""

    slide: Slide
    plan: ConversionPlan
    anonymous: bool = False

    @property
    def acquired(self) -> datetime | None:
        return None if self.anonymous else self.slide.metadata.acquired

    @property
    def identifiers(self) -> Mapping[str, str]:
        """The UIDs of a DICOM source by their keywords."""
        told = self.slide.metadata.identifiers
        return {} if self.anonymous else {name: uid for name, uid in told.items() if name.endswith("UID")}

    def spacing(self, level: Level) -> Spacing | None:
        """Of a level, or of the thumbnail, which shows all that the finest level shows."""
        finest = self.slide.pyramid.spacing
        return finest and finest.scaled(*self.plan.levels[0].output.scale(level))


@dataclass(frozen=True, slots=True)
class TiffFlavor:
    """A kind of TIFF. `add_pages` adds all pages, writes those of associated images, and returns the levels' sinks."""

    container: Container
    add_pages: Callable[[TiffWriter, TiffSubject], list[FrameSink]]


def level_page(subject: TiffSubject, number: int, description: str = "") -> Page:
    """The page of a level."""
    level = subject.plan.levels[number]
    return Page(
        level.output,
        level.encoding,
        subject.plan.pixel_format,
        spacing=subject.spacing(level.output),
        subfile_type=REDUCED if number else LEVEL,
        description=description,
        icc_profile=subject.slide.metadata.icc_profile,
    )


def picture_page(subject: TiffSubject, flavor: ImageFlavor, description: str = "") -> Page:
    """The page of an associated image that the plan has: one strip, which every reader reads."""
    image = subject.slide.associated[flavor]
    shown = Level(image.width, image.height, image.width, image.height)
    thumbnail = flavor is ImageFlavor.THUMBNAIL
    return Page(
        shown,
        subject.plan.associated[flavor].encoding,
        image.pixel_format,
        spacing=subject.spacing(shown) if thumbnail else None,
        description=description,
        icc_profile=subject.slide.metadata.icc_profile if thumbnail else None,
        as_strip=True,
    )


def add_picture(writer: TiffWriter, subject: TiffSubject, flavor: ImageFlavor, page: Page) -> None:
    """Adds the page of an associated image, and writes it."""
    (sink,) = writer.add_page(page)
    sink.write(associated_frame(subject.slide, subject.plan, flavor))
