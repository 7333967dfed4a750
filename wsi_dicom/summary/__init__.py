"""What is worth knowing of a slide at a glance: the same for people and for programs.

Names of fields are stable: programs read them as JSON. Only headers are read, no pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from wsi_dicom.summary.series import SeriesSummary, summarize_series

if TYPE_CHECKING:
    from wsi_dicom.dicom.slide import DicomSlide
    from wsi_dicom.metadata import LossyStep, OpticalPath
    from wsi_dicom.slide import AssociatedImage, Slide

__all__ = ["AssociatedSummary", "LevelSummary", "SeriesSummary", "SlideSummary", "summarize"]


@dataclass(frozen=True, slots=True)
class LevelSummary:
    """A level of the pyramid.

    `transfer_syntax`, `compression` (its name) and `photometric` are None where the tiles are stored in a way that
    DICOM does not hold. `frames` is None for what is no DICOM. `bytes` are those of all tiles, at most.
    """

    width: int
    height: int
    tile_width: int
    tile_height: int
    tiles: int
    frames: int | None
    downsample: float
    um_per_pixel: tuple[float, float] | None
    transfer_syntax: str | None
    compression: str | None
    photometric: str | None
    lossy: tuple[LossyStep, ...]
    bytes: int


@dataclass(frozen=True, slots=True)
class AssociatedSummary:
    """A label, overview or thumbnail."""

    width: int
    height: int
    lossy_method: str | None
    bytes: int


@dataclass(frozen=True, slots=True)
class SlideSummary:
    """A slide. `bytes` are those of all its `files`; `dicom` is None for what is no DICOM."""

    slide: str
    files: int
    bytes: int
    bits_per_sample: int
    samples_per_pixel: int
    manufacturer: str | None
    model: str | None
    serial_number: str | None
    software_versions: tuple[str, ...]
    acquired: datetime | None
    objective_power: float | None
    slide_identifier: str | None
    barcode: str | None
    icc_profile_bytes: int | None
    sparse: bool
    levels: tuple[LevelSummary, ...]
    focal_planes: int
    focal_spacing_um: float | None
    imaged_depth_um: float | None
    optical_paths: tuple[OpticalPath, ...]
    optical_path_count: int
    associated: dict[str, AssociatedSummary]
    dicom: SeriesSummary | None


def summarize(slide: Slide, *, patient: bool = False) -> SlideSummary:
    """Nobody is named unless `patient` is asked for. Raises OSError for files that have gone meanwhile."""
    pyramid, metadata = slide.pyramid, slide.metadata
    series = _as_series(slide)
    return SlideSummary(
        slide=slide.name,
        files=len(slide.files),
        bytes=sum(path.stat().st_size for path in slide.files),
        bits_per_sample=pyramid.pixel_format.bits,
        samples_per_pixel=pyramid.pixel_format.samples,
        manufacturer=metadata.manufacturer,
        model=metadata.model,
        serial_number=metadata.serial_number,
        software_versions=metadata.software_versions,
        acquired=metadata.acquired,
        objective_power=metadata.objective_power,
        slide_identifier=metadata.slide_identifier,
        barcode=metadata.barcode,
        icc_profile_bytes=len(metadata.icc_profile) if metadata.icc_profile else None,
        sparse=slide.sparse,
        levels=tuple(_level(slide, number, series) for number in range(len(pyramid.levels))),
        focal_planes=pyramid.focal_planes,
        focal_spacing_um=pyramid.focal_spacing_um,
        imaged_depth_um=metadata.imaged_depth_um,
        optical_paths=metadata.optical_paths,
        optical_path_count=pyramid.optical_paths,
        associated={flavor.value.lower(): _associated(image) for flavor, image in slide.associated.items()},
        dicom=summarize_series(series, patient=patient) if series else None,
    )


def _as_series(slide: Slide) -> DicomSlide | None:
    from wsi_dicom.dicom.slide import DicomSlide

    return slide if isinstance(slide, DicomSlide) else None


def _level(slide: Slide, number: int, series: DicomSlide | None) -> LevelSummary:
    from wsi_dicom.codecs.transfer_syntaxes import transfer_syntax_name

    pyramid = slide.pyramid
    level, spacing = pyramid.levels[number], pyramid.level_spacing(number)
    encoding = series.stored_encoding(number) if series else slide.encoding(number)
    return LevelSummary(
        width=level.width,
        height=level.height,
        tile_width=level.tile_width,
        tile_height=level.tile_height,
        tiles=level.tile_count,
        frames=series.frames(number) if series else None,
        downsample=round(pyramid.downsample(number), 4),
        um_per_pixel=(round(spacing.x_mm * 1000, 6), round(spacing.y_mm * 1000, 6)) if spacing else None,
        transfer_syntax=encoding.transfer_syntax if encoding else None,
        compression=transfer_syntax_name(encoding.transfer_syntax) if encoding else None,
        photometric=encoding.photometric if encoding else None,
        lossy=slide.losses(number),
        bytes=slide.stored_bytes(number),
    )


def _associated(image: AssociatedImage) -> AssociatedSummary:
    return AssociatedSummary(image.width, image.height, image.lossy_method, image.stored_bytes)
