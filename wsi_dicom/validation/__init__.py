"""Finds what is wrong with a series of whole-slide images, by the standard and by the readers that people use.

Checks are functions from an image, or from all images of a series, to findings. To add one, write it beside those of
its kind and name it in one of the two lists here. Headers of frames are looked into, pixels are never decoded; memory
does not grow with the slide.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from wsi_dicom.dicom.header import read_instance
from wsi_dicom.dicom.uids import VL_WHOLE_SLIDE
from wsi_dicom.errors import CorruptInput, UnsupportedFormat
from wsi_dicom.validation import attributes, encapsulation, modules, readers, series, streams, tiling
from wsi_dicom.validation.finding import Finding, Severity
from wsi_dicom.validation.image import Image
from wsi_dicom.validation.pixel_data import locate_pixel_data
from wsi_dicom.validation.values import decode_values

__all__ = ["Finding", "Severity", "validate_series"]

_IMAGE_CHECKS: Final[tuple[Callable[[Image], Iterator[Finding]], ...]] = (
    attributes.check_file_meta,
    attributes.check_uids,
    modules.check_required,
    modules.check_codes,
    modules.check_allowed,
    attributes.check_image_type,
    attributes.check_flavor,
    attributes.check_sizes,
    attributes.check_samples,
    attributes.check_photometric,
    attributes.check_optical_paths,
    attributes.check_lossy,
    attributes.check_references,
    attributes.check_imaged_volume,
    tiling.check_frame_count,
    tiling.check_positions,
    encapsulation.check_pixel_data,
    encapsulation.check_items,
    encapsulation.check_offset_tables,
    encapsulation.check_extended_lengths,
    encapsulation.check_ratio,
    streams.check_streams,
    readers.check_transfer_syntax,
    readers.check_openslide,
    readers.check_wsidicom,
    readers.check_slim,
    readers.check_orthanc,
)
_SERIES_CHECKS: Final[tuple[Callable[[Sequence[Image]], Iterator[Finding]], ...]] = (
    series.check_instances,
    series.check_shared_attributes,
    series.check_frame_of_reference,
    series.check_pyramid_uid,
    series.check_concatenations,
    series.check_levels,
    readers.check_openslide_series,
    readers.check_bio_formats,
    readers.check_same_volume,
    readers.check_same_pixels,
)


def validate_series(files: Sequence[Path]) -> list[Finding]:
    """What is wrong with the instances in `files`, errors first; files of several series are judged series by series.

    A file that is no DICOM, or breaks off, is a finding. Raises NotFound and StoreError for files that cannot be read,
    UnsupportedFormat when there are none.
    """
    if not files:
        raise UnsupportedFormat("there are no files to validate")
    findings: list[Finding] = []
    by_series: dict[str, list[Image]] = {}
    for path in files:
        image = _open(path, findings)
        if image is not None:
            for check in _IMAGE_CHECKS:
                _collect(check(image), path, findings)
            # without the pixel data, which keep a file open
            by_series.setdefault(image.instance.series_uid, []).append(replace(image, pixel_data=None))
    for images in by_series.values():
        for series_check in _SERIES_CHECKS:
            _collect(series_check(images), images[0].path, findings)
    return sorted(dict.fromkeys(findings), key=lambda finding: finding.severity is not Severity.ERROR)


def _open(path: Path, findings: list[Finding]) -> Image | None:
    """The image in a file, with values that decode; None when it holds none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what pydicom thinks of values is asked for below
            instance = read_instance(path)
        if instance.sop_class_uid != VL_WHOLE_SLIDE:
            findings.append(
                Finding(Severity.WARNING, "wsi-dicom", path.name, "is no whole-slide image and is not looked into")
            )
            return None
        findings += decode_values(instance.header.file_meta, path)
        findings += decode_values(instance.header, path)
        return Image(instance, locate_pixel_data(instance))
    except CorruptInput as error:
        findings.append(Finding(Severity.ERROR, "PS3.10 7", path.name, _without_path(error, path)))
    except UnsupportedFormat as error:  # a data set that is deflated or big endian
        findings.append(Finding(Severity.WARNING, "wsi-dicom", path.name, _without_path(error, path)))
    return None


def _collect(found: Iterable[Finding], path: Path, findings: list[Finding]) -> None:
    """Takes what a check finds; where it meets damage that ends it, that is a finding too."""
    try:
        findings.extend(found)
    except CorruptInput as error:
        findings.append(Finding(Severity.ERROR, "PS3.5 A.4", path.name, _without_path(error, path)))


def _without_path(error: Exception, path: Path) -> str:
    return str(error).removeprefix(str(path)).lstrip(": ")
