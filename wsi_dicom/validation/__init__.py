"""Finds what is wrong with a series of whole-slide images, by the standard and by the readers that people use.

Checks are functions from an image, or from all images of a series, to findings. To add one, write it beside those of
its kind and name it in one of the three lists here. Headers of frames are looked into, pixels are never decoded; memory
does not grow with the slide.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Final

from wsi_dicom.dicom.header import Instance, read_instance
from wsi_dicom.dicom.uids import VL_WHOLE_SLIDE
from wsi_dicom.errors import CorruptInput, UnsupportedFormat
from wsi_dicom.validation import (
    attributes,
    content,
    encapsulation,
    modules,
    readers,
    series,
    series_readers,
    streams,
    tiling,
)
from wsi_dicom.validation.finding import Finding, Severity
from wsi_dicom.validation.image import Image
from wsi_dicom.validation.pixel_data import locate_pixel_data
from wsi_dicom.validation.values import decode_values

__all__ = ["Finding", "Severity", "validate_headers", "validate_series"]

_ImageCheck = Callable[[Image], Iterator[Finding]]

_HEADER_CHECKS: Final[tuple[_ImageCheck, ...]] = (
    attributes.check_file_meta,
    attributes.check_uids,
    modules.check_required,
    modules.check_allowed,
    content.check_codes,
    content.check_content_items,
    content.check_issuers,
    content.check_single_items,
    attributes.check_image_type,
    attributes.check_flavor,
    attributes.check_sizes,
    attributes.check_samples,
    attributes.check_photometric,
    attributes.check_optical_paths,
    attributes.check_lossy,
    attributes.check_imaged_volume,
    tiling.check_frame_count,
    readers.check_transfer_syntax,
    readers.check_openslide,
    readers.check_wsidicom,
    readers.check_highdicom,
    readers.check_slim,
    readers.check_orthanc,
    readers.check_ez_wsi,
)
"""What the header alone tells."""
_FILE_CHECKS: Final[tuple[_ImageCheck, ...]] = (
    attributes.check_references,
    tiling.check_positions,
    encapsulation.check_pixel_data,
    encapsulation.check_items,
    encapsulation.check_offset_tables,
    encapsulation.check_extended_lengths,
    encapsulation.check_ratio,
    streams.check_streams,
    readers.check_preamble,
    readers.check_offset_tables,
    readers.check_positions,
)
"""What has to be looked for behind the header: offset tables, the places of the frames, each frame's beginning."""
_SERIES_CHECKS: Final[tuple[Callable[[Sequence[Image]], Iterator[Finding]], ...]] = (
    series.check_instances,
    series.check_shared_attributes,
    series.check_frame_of_reference,
    series.check_pyramid_uid,
    series.check_concatenations,
    series.check_levels,
    series_readers.check_openslide,
    series_readers.check_wsidicom,
    series_readers.check_slim,
    series_readers.check_bio_formats,
    series_readers.check_ez_wsi,
    series_readers.check_same_volume,
    series_readers.check_same_pixels,
)


def validate_series(files: Sequence[Path]) -> list[Finding]:
    """What is wrong with the instances in `files`, errors first; files of several series are judged series by series.

    A file that is no DICOM, or breaks off, is a finding. Raises NotFound and StoreError for files that cannot be read,
    UnsupportedFormat when there are none, or only such as hold no whole-slide image.
    """
    if not files:
        raise UnsupportedFormat("there are no files to validate")
    findings: list[Finding] = []
    by_series: dict[str, list[Image]] = {}
    for path in files:
        image = _open(path, findings)
        if image is not None:
            for check in (*_HEADER_CHECKS, *_FILE_CHECKS):
                _collect(check(image), path, findings)
            # without the pixel data, which keep a file open
            by_series.setdefault(image.instance.series_uid, []).append(replace(image, pixel_data=None))
    if not by_series and all(finding.severity is Severity.WARNING for finding in findings):
        more = f" and {len(files) - 1} more" if len(files) > 1 else ""
        raise UnsupportedFormat(f"{files[0]}{more}: no whole-slide image to check")
    for images in by_series.values():
        findings += _together(images)
    return _sorted(findings)


def validate_headers(instances: Sequence[Instance]) -> list[Finding]:
    """What the headers of a series alone tell, as `validate_series` says it: a part of that, at once.

    No file is read. What is no whole-slide image is passed over.
    """
    findings: list[Finding] = []
    images: list[Image] = []
    for instance in instances:
        if instance.sop_class_uid != VL_WHOLE_SLIDE:
            continue
        header = deepcopy(instance.header)  # from which values that do not decode are taken
        findings += decode_values(header.file_meta, instance.path)
        findings += decode_values(header, instance.path)
        image = Image(replace(instance, header=header), None)
        for check in _HEADER_CHECKS:
            _collect(check(image), instance.path, findings)
        images.append(image)
    return _sorted([*findings, *_together(images)] if images else findings)


def _together(images: Sequence[Image]) -> list[Finding]:
    findings: list[Finding] = []
    for check in _SERIES_CHECKS:
        _collect(check(images), images[0].path, findings)
    return findings


def _sorted(findings: Iterable[Finding]) -> list[Finding]:
    """Each once, errors first."""
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
