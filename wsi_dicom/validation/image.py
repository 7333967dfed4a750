"""One whole-slide image under examination: its header with values that can be relied upon, and its pixel data."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from wsi_dicom.dicom.header import Instance, text
from wsi_dicom.geometry import Level, Spacing
from wsi_dicom.validation.finding import Finding, Severity
from wsi_dicom.validation.pixel_data import PixelDataElement


def items(dataset: Dataset, keyword: str) -> Sequence[Dataset]:
    """The items of a sequence, none when it is absent or empty."""
    return dataset.get(keyword) or ()


def first_item(dataset: Dataset, keyword: str) -> Dataset:
    """The first item of a sequence, an empty one when there is none."""
    return next(iter(items(dataset, keyword)), Dataset())


def integer(dataset: Dataset, keyword: str) -> int | None:
    """A single integer; None when the attribute is absent, empty or something else."""
    value = dataset.get(keyword)
    return int(value) if isinstance(value, int) else None


def decimals(dataset: Dataset, keyword: str) -> list[float]:
    """All values as numbers, none when the attribute is absent or empty."""
    value = dataset.get(keyword)
    if value is None or value == "":
        return []
    return [float(single) for single in (value if isinstance(value, MultiValue) else [value])]


@dataclass(frozen=True, slots=True)
class Image:
    """A VL Whole Slide Microscopy image instance (PS3.3 A.32.8). Every value of its header decodes."""

    instance: Instance
    pixel_data: PixelDataElement | None

    @property
    def path(self) -> Path:
        return self.instance.path

    @property
    def header(self) -> Dataset:
        return self.instance.header

    @property
    def file_meta(self) -> Dataset:
        """The file meta information (PS3.10 7.1)."""
        meta: Dataset = self.header.file_meta
        return meta

    @property
    def transfer_syntax(self) -> str:
        return self.instance.transfer_syntax

    @property
    def image_type(self) -> list[str]:
        return self.text("ImageType").split("\\")

    @property
    def flavor(self) -> str:
        """Value 3 of Image Type, "" without one."""
        return self.image_type[2] if len(self.image_type) > 2 else ""

    @property
    def samples(self) -> int | None:
        return self.integer("SamplesPerPixel")

    @property
    def frames(self) -> int | None:
        """None when there is no such number above 0."""
        return max(0, self.integer("NumberOfFrames") or 0) or None

    @property
    def tiled_full(self) -> bool:
        return self.text("DimensionOrganizationType") == "TILED_FULL"

    @property
    def focal_planes(self) -> int:
        return self.integer("TotalPixelMatrixFocalPlanes") or 1

    @property
    def optical_paths(self) -> int:
        return self.integer("NumberOfOpticalPaths") or len(items(self.header, "OpticalPathSequence")) or 1

    @property
    def level(self) -> Level | None:
        """The grid of tiles; None when one of its four sizes is missing or 0."""
        keywords = ("TotalPixelMatrixColumns", "TotalPixelMatrixRows", "Columns", "Rows")
        sizes = [self.integer(keyword) or 0 for keyword in keywords]
        return Level(*sizes) if min(sizes) > 0 else None

    @property
    def spacing(self) -> Spacing | None:
        """From Pixel Spacing, which is (between rows, between columns) in mm."""
        values = decimals(self.shared("PixelMeasuresSequence"), "PixelSpacing")
        if len(values) != 2 or not all(math.isfinite(value) and value > 0 for value in values):
            return None
        return Spacing(values[1], values[0])

    def text(self, keyword: str) -> str:
        return text(self.header, keyword)

    def integer(self, keyword: str) -> int | None:
        return integer(self.header, keyword)

    def shared(self, keyword: str) -> Dataset:
        """The one item of a shared functional group; an empty one when there is none."""
        return first_item(first_item(self.header, "SharedFunctionalGroupsSequence"), keyword)

    def error(self, clause: str, message: str) -> Finding:
        return Finding(Severity.ERROR, clause, self.path.name, message)

    def warning(self, clause: str, message: str) -> Finding:
        return Finding(Severity.WARNING, clause, self.path.name, message)
