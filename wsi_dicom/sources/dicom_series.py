"""A DICOM whole-slide series: a file of it, whose siblings in the folder belong to it, or what holds it.

That is a folder, a zip archive, or a medium with its DICOMDIR.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final

from wsi_dicom.errors import StoreError, UnsupportedFormat, WsiError
from wsi_dicom.slide import AS_FOUND, Slide, SourceOptions
from wsi_dicom.sources.dicomdir import is_dicomdir, referenced_files
from wsi_dicom.sources.zipped import is_zip, unpacked

if TYPE_CHECKING:
    from wsi_dicom.dicom.header import Instance

logger = logging.getLogger(__name__)

_PREAMBLE: Final = 128
_MAGIC: Final = b"DICM"
_SERIES_NAMED: Final = 5
_FILES_LOOKED_AT: Final = 8
"""Of the first files of a folder: half of them may be something else (a README, a thumbnail)."""


def is_dicom(head: bytes) -> bool:
    """Whether a file that begins so is a DICOM Part 10 file (PS3.10 7.1)."""
    return head[_PREAMBLE : _PREAMBLE + len(_MAGIC)] == _MAGIC


class DicomFormat:
    """Found by the magic bytes behind the preamble; a folder by its first files; any zip archive is looked into."""

    key = "dicom"
    name = "DICOM"

    def detect(self, path: Path, head: bytes) -> bool:
        if head:
            return is_dicom(head) or is_zip(head)
        try:
            found = [_is_dicom_file(file) for file in islice(_files(path), _FILES_LOOKED_AT)] if path.is_dir() else []
            return bool(found) and 2 * sum(found) >= len(found)
        except StoreError:
            return False

    def open(self, path: Path, options: SourceOptions = AS_FOUND) -> Slide:
        from wsi_dicom.dicom.slide import DicomSlide

        if path.is_file() and is_zip(_head(path, len(_MAGIC))):
            with unpacked(path, is_dicom) as files:
                slide = DicomSlide(_only_slide(files, path), options.color)
                slide.files = (path,)  # the others go, and the slide keeps them open
                return slide
        if path.is_dir():
            return DicomSlide(_only_slide(list(_instances(path)) or _listed(path), path), options.color)
        if is_dicomdir(path):
            return DicomSlide(_only_slide(referenced_files(path), path), options.color)
        return DicomSlide(_with_siblings(path), options.color)


def _files(folder: Path) -> Iterator[Path]:
    """The visible files of a folder by name. Raises StoreError."""
    try:
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in entries if entry.is_file() and not entry.name.startswith("."))
    except OSError as error:
        raise StoreError(f"{folder}: cannot be read: {error.strerror}") from error
    return (folder / name for name in names)


def _head(path: Path, size: int) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(size)
    except OSError as error:
        raise StoreError(f"{path}: cannot be read: {error.strerror}") from error


def _is_dicom_file(path: Path) -> bool:
    return is_dicom(_head(path, _PREAMBLE + len(_MAGIC)))


def _instances(folder: Path) -> Iterator[Path]:
    """The DICOM files of a folder but for a DICOMDIR (PS3.10 8.6), which only lists them."""
    return (path for path in _files(folder) if not is_dicomdir(path) and _is_dicom_file(path))


def _listed(folder: Path) -> list[Path]:
    """What the DICOMDIR of a folder refers to, in folders below it; nothing when there is none."""
    return next((referenced_files(path) for path in _files(folder) if is_dicomdir(path)), [])


def _with_siblings(path: Path) -> list[Instance]:
    """The file's whole series. Neighbours that cannot be read, and may belong to anything, are left out."""
    from wsi_dicom.dicom.header import read_instance

    chosen = read_instance(path)
    _require_slide([chosen], path)
    found = [chosen]
    for sibling in _instances(path.parent):
        if sibling.name == path.name:
            continue
        try:
            instance = read_instance(sibling)
        except WsiError as error:
            logger.warning("left out of the slide: %s", error)
            continue
        if instance.series_uid == chosen.series_uid:
            found.append(instance)
    return found


def _only_slide(files: Sequence[Path], where: Path) -> list[Instance]:
    """The instances of the one whole-slide series among `files`. Raises UnsupportedFormat, CorruptInput, StoreError."""
    from wsi_dicom.dicom.header import read_instance

    every = [read_instance(path) for path in files]
    if not every:
        raise UnsupportedFormat(f"{where}: holds no DICOM file")
    slides = _require_slide(every, where)
    series = {instance.series_uid: instance.path.name for instance in slides}
    if len(series) > 1:
        named = sorted((name, uid) for uid, name in series.items())[:_SERIES_NAMED]
        choice = " or ".join(f"{name} (series {uid})" for name, uid in named)
        raise UnsupportedFormat(
            f"{where}: holds {len(series)} whole-slide series; give a file of one of them, such as {choice}"
        )
    return [instance for instance in every if instance.series_uid in series]


def _require_slide(instances: Sequence[Instance], path: Path) -> list[Instance]:
    """Those that are whole-slide images. Raises UnsupportedFormat that says what the others are, if none is."""
    from pydicom.uid import UID

    from wsi_dicom.dicom.uids import VL_WHOLE_SLIDE

    slides = [instance for instance in instances if instance.sop_class_uid == VL_WHOLE_SLIDE]
    if not slides:
        kinds = sorted({UID(instance.sop_class_uid).name for instance in instances})
        raise UnsupportedFormat(
            f"{path}: is DICOM, but not a whole-slide image: {', '.join(kinds[:3])}; "
            "VL Whole Slide Microscopy Image Storage is read"
        )
    return slides


FORMAT = DicomFormat()
