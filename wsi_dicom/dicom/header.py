"""The header of one DICOM file: everything before the frames, read once and within bounds."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.filereader import read_dataset, read_partial
from pydicom.multival import MultiValue

from wsi_dicom.codecs.transfer_syntaxes import IMPLICIT_VR_LITTLE_ENDIAN
from wsi_dicom.errors import CorruptInput, NotFound, StoreError, UnsupportedFormat

PER_FRAME_FUNCTIONAL_GROUPS: Final = 0x52009230

_LARGEST_HEADER: Final = 64 << 20

_UNREADABLE_DATASETS: Final = {
    "1.2.840.10008.1.2.1.99": "deflated",
    "1.2.840.10008.1.2.2": "big endian",
}
"""Transfer syntaxes that change how the data set itself is written."""

_MALFORMED: Final = (
    AttributeError,
    BytesLengthException,
    EOFError,
    InvalidDicomError,
    LookupError,
    NotImplementedError,
    OverflowError,
    RecursionError,
    TypeError,
    ValueError,
    struct.error,
)
"""What pydicom raises on broken data sets, when parsing and again when a value is first looked at."""


@dataclass(frozen=True, slots=True)
class Instance:
    """One DICOM file. `header` ends before the per-frame functional groups and the pixel data, at byte `end`.

    Per-frame groups of a large sparse level are hundreds of thousands of data sets: they are walked, never loaded.
    """

    path: Path
    header: Dataset = field(repr=False)
    transfer_syntax: str
    sop_class_uid: str
    sop_instance_uid: str
    series_uid: str
    study_uid: str
    end: int

    @property
    def implicit_vr(self) -> bool:
        return self.transfer_syntax == IMPLICIT_VR_LITTLE_ENDIAN


class _BoundedReader(io.BufferedReader):
    """Refuses to read more than a header may hold, whatever length an element claims to have."""

    left = _LARGEST_HEADER

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or size < 0 or size > self.left:
            raise CorruptInput(f"{self.name} has a header of more than {_LARGEST_HEADER >> 20} MiB")
        self.left -= size
        return super().read(size)


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turns what a broken or unreadable file raises into NotFound, StoreError or CorruptInput that names it."""
    try:
        yield
    except FileNotFoundError:
        raise NotFound(f"{path} does not exist") from None
    except OSError as error:
        if error.errno is None:  # not the system's word: pydicom's, of a file that ends too early
            raise CorruptInput(f"{path} is not a readable DICOM file: {error}") from error
        raise StoreError(f"{path} cannot be read: {error.strerror or error}") from error
    except _MALFORMED as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CorruptInput(f"{path} is not a readable DICOM file: {reason}") from error


def read_instance(path: Path) -> Instance:
    """The header of a DICOM Part 10 file (PS3.10).

    Raises NotFound, StoreError (cannot be read), CorruptInput (not DICOM, or without the UIDs that every file has),
    UnsupportedFormat (deflated or big-endian data set).
    """
    with reading(path):
        with _BoundedReader(io.FileIO(path)) as file:
            # Before the data set, since pydicom would inflate a deflated one whole.
            syntax = _transfer_syntax(file, path)
            if syntax in _UNREADABLE_DATASETS:
                raise UnsupportedFormat(
                    f"{path} is a {_UNREADABLE_DATASETS[syntax]} DICOM file, which is not supported; rewrite it with "
                    "`dcmconv +te`"
                )
            file.seek(0)
            header = read_partial(file, stop_when=lambda tag, _vr, _length: tag >= PER_FRAME_FUNCTIONAL_GROUPS)
            end = file.tell()
        return Instance(
            path=path,
            header=header,
            transfer_syntax=syntax or _missing(path, "TransferSyntaxUID"),
            sop_class_uid=_uid(header, path, "SOPClassUID"),
            sop_instance_uid=_uid(header, path, "SOPInstanceUID"),
            series_uid=_uid(header, path, "SeriesInstanceUID"),
            study_uid=_uid(header, path, "StudyInstanceUID"),
            end=end,
        )


def text(header: Dataset, keyword: str) -> str:
    """The value as stored, "" when it is absent or empty; several values are parted by a backslash."""
    value = header.get(keyword)
    if value is None:
        return ""
    return "\\".join(str(v) for v in value) if isinstance(value, MultiValue) else str(value)


def _transfer_syntax(file: _BoundedReader, path: Path) -> str:
    """Of the File Meta Information, group 2, which is explicit little endian always (PS3.10 7.1); "" when absent."""
    if file.read(132)[128:] != b"DICM":
        raise CorruptInput(f"{path} is not a DICOM file")
    meta = read_dataset(
        file, is_implicit_VR=False, is_little_endian=True, stop_when=lambda tag, _vr, _length: tag >> 16 != 2
    )
    return text(meta, "TransferSyntaxUID")


def _uid(header: Dataset, path: Path, keyword: str) -> str:
    return text(header, keyword) or _missing(path, keyword)


def _missing(path: Path, keyword: str) -> str:
    raise CorruptInput(f"{path} has no {keyword}")
