"""The header of one DICOM file: everything before the frames, read once and within bounds."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final

from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.filereader import read_dataset
from pydicom.multival import MultiValue

from wsi_dicom.codecs.transfer_syntaxes import (
    DEFLATED_EXPLICIT_VR,
    EXPLICIT_VR_BIG_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
)
from wsi_dicom.dicom.deflated import InflatingReader, inflate_to_file
from wsi_dicom.dicom.elements import ElementWalker
from wsi_dicom.errors import CorruptInput, NotFound, StoreError

PER_FRAME_FUNCTIONAL_GROUPS: Final = 0x52009230

_LARGEST_HEADER: Final = 64 << 20
_LARGEST_SEQUENCES: Final = 16 << 20
_MOST_ITEMS: Final = 1 << 16
"""Of all sequences of a header. pydicom takes 0.1 ms and 1 KiB for an item, however empty (measured)."""
_LEAST_READ: Final = 512
"""What any read counts for: pydicom keeps some hundred bytes for an element of eight."""

_LARGEST_PRIVATE: Final = 1 << 16
"""Bytes of a private element that is read. Some hold whole pictures, and nobody asks for any."""

_ITEM_TAGS: Final = (b"\xfe\xff\x00\xe0", b"\xff\xfe\xe0\x00")  # as the two byte orders have it

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
    """One DICOM file. `header` ends before the per-frame functional groups and the pixel data.

    Per-frame groups of a large sparse level are hundreds of thousands of data sets: they are walked, never loaded.
    `header` lacks the private elements of more than 64 KiB.
    """

    path: Path
    header: Dataset = field(repr=False)
    transfer_syntax: str
    sop_class_uid: str
    sop_instance_uid: str
    series_uid: str
    study_uid: str
    end: int
    """The byte of the file at which the header ends; of the inflated data set, if that is deflated."""
    implicit_vr: bool
    """How the data set is really written: some files' transfer syntax tells it wrongly."""
    deflated_from: int | None = None
    """The byte of the file at which a deflated data set begins."""

    @property
    def big_endian(self) -> bool:
        return self.transfer_syntax == EXPLICIT_VR_BIG_ENDIAN

    def walker(self, file: BinaryIO) -> ElementWalker:
        """Over the elements at which `file`, one of `open_data_set`, stands."""
        return ElementWalker(file, implicit_vr=self.implicit_vr, big_endian=self.big_endian)

    def open_data_set(self) -> BinaryIO:
        """The file where the header ends; a deflated one inflated to a temporary file.

        Raises OSError, CorruptInput (does not inflate), UnsupportedFormat (inflates to more than 4 GiB).
        """
        file: BinaryIO = self.path.open("rb")
        if self.deflated_from is not None:
            with file as deflated:
                deflated.seek(self.deflated_from)
                file = inflate_to_file(deflated)
        file.seek(self.end)
        return file


class _BoundedReader(io.BufferedReader):
    """Refuses to read more than a header may hold, whatever length an element claims, or number of elements it has."""

    left = _LARGEST_HEADER

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or size < 0 or size > self.left:
            raise CorruptInput(
                f"{self.name} has a header of more than {_LARGEST_HEADER >> 20} MiB, or of tiny elements"
            )
        self.left -= max(size, _LEAST_READ)
        return super().read(size)


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turns what a broken or unreadable file raises into NotFound, StoreError or CorruptInput that names it."""
    try:
        yield
    except FileNotFoundError:
        raise NotFound(f"{path} does not exist") from None
    except OSError as error:
        if isinstance(error.__cause__, CorruptInput):  # in pydicom's words
            raise error.__cause__ from None
        if error.errno is None:  # not the system's word: pydicom's, of a file that ends too early
            raise CorruptInput(f"{path} is not a readable DICOM file: {error}") from error
        raise StoreError(f"{path} cannot be read: {error.strerror or error}") from error
    except _MALFORMED as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CorruptInput(f"{path} is not a readable DICOM file: {reason}") from error


def read_instance(path: Path) -> Instance:
    """The header of a DICOM Part 10 file (PS3.10).

    Raises NotFound, StoreError (cannot be read), CorruptInput (not DICOM, or without the UIDs that every file has).
    """
    with reading(path):
        with _BoundedReader(io.FileIO(path)) as file:
            meta = _file_meta(file, path)
            syntax, deflated_from = text(meta, "TransferSyntaxUID") or _missing(path, "TransferSyntaxUID"), None
            if syntax == DEFLATED_EXPLICIT_VR:
                deflated_from = file.tell()
                with _BoundedReader(InflatingReader(file, _LARGEST_HEADER)) as inflating:
                    header, end = _read_header(inflating, syntax)
            else:
                header, end = _read_header(file, syntax)
            _check_sequences(header, path)
            header.file_meta = FileMetaDataset(meta)
        return Instance(
            path=path,
            header=header,
            transfer_syntax=syntax,
            sop_class_uid=_uid(header, path, "SOPClassUID"),
            sop_instance_uid=_uid(header, path, "SOPInstanceUID"),
            series_uid=_uid(header, path, "SeriesInstanceUID"),
            study_uid=_uid(header, path, "StudyInstanceUID"),
            end=end,
            implicit_vr=bool(header.original_encoding[0]),
            deflated_from=deflated_from,
        )


def text(header: Dataset, keyword: str) -> str:
    """The value as stored, "" when it is absent or empty; several values are parted by a backslash."""
    value = header.get(keyword)
    if value is None:
        return ""
    return "\\".join(str(v) for v in value) if isinstance(value, MultiValue) else str(value)


def text_encoding(header: Dataset) -> str:
    """Python's name of the character set that texts of the data set are in (PS3.5 6.1)."""
    from pydicom.charset import convert_encodings

    return convert_encodings(header.get("SpecificCharacterSet") or "")[0]


def integer(instance: Instance, keyword: str, default: int | None = None, *, low: int = 1, high: int) -> int:
    """Raises CorruptInput for a value out of bounds, and for none when there is no default."""
    value = instance.header.get(keyword)
    if value is None or value == "":
        if default is None:
            raise CorruptInput(f"{instance.path} has no {keyword}")
        return default
    if not (isinstance(value, int) or (isinstance(value, float) and value.is_integer())):
        raise CorruptInput(f"{instance.path} has {keyword} {str(value)[:40]}, which is no whole number")
    if not low <= value <= high:
        raise CorruptInput(f"{instance.path} has {keyword} {value}, which is not between {low} and {high}")
    return int(value)


def _file_meta(file: _BoundedReader, path: Path) -> Dataset:
    """The File Meta Information, group 2, which is explicit little endian always (PS3.10 7.1)."""
    if file.read(132)[128:] != b"DICM":
        raise CorruptInput(f"{path} is not a DICOM file")
    return read_dataset(
        file, is_implicit_VR=False, is_little_endian=True, stop_when=lambda tag, _vr, _length: tag >> 16 != 2
    )


def _stops(tag: int, _vr: str | None, length: int) -> bool:
    private = (tag >> 16) % 2 == 1
    return tag >= PER_FRAME_FUNCTIONAL_GROUPS or (private and length > _LARGEST_PRIVATE)


def _read_header(file: _BoundedReader, syntax: str) -> tuple[Dataset, int]:
    """The data set that `file` stands at, without large private elements, and the byte at which its header ends."""
    implicit_vr, big_endian = _has_implicit_vr(file, syntax), syntax == EXPLICIT_VR_BIG_ENDIAN
    header = read_dataset(file, implicit_vr, not big_endian, stop_when=_stops)
    walker = ElementWalker(file, implicit_vr=implicit_vr, big_endian=big_endian)
    while True:
        end = file.tell()
        tag, length = next(walker.elements(), (PER_FRAME_FUNCTIONAL_GROUPS, 0))
        if tag >= PER_FRAME_FUNCTIONAL_GROUPS:
            return header, end
        walker.skip(length)
        header.update(
            read_dataset(
                file, implicit_vr, not big_endian, stop_when=_stops, parent_encoding=header.original_character_set
            )
        )


def _check_sequences(header: Dataset, path: Path) -> None:
    """Raises CorruptInput for too many items, or bytes, in sequences that pydicom keeps to parse them when asked."""
    raw = [element.value for element in map(header.get_item, header.keys()) if isinstance(element, RawDataElement)]
    sequences = [value for value in raw if isinstance(value, bytes) and value.startswith(_ITEM_TAGS)]
    items = sum(value.count(value[:4]) for value in sequences)
    if items > _MOST_ITEMS or sum(map(len, sequences)) > _LARGEST_SEQUENCES:
        raise CorruptInput(
            f"{path} has sequences of {items} items in {sum(map(len, sequences))} bytes in its header; {_MOST_ITEMS} "
            f"items and {_LARGEST_SEQUENCES >> 20} MiB are the limits"
        )


def _has_implicit_vr(file: _BoundedReader, syntax: str) -> bool:
    """Where the first element tells its VR there are two capital letters, else the low half of a length."""
    start = file.tell()
    head = file.read(6)
    file.seek(start)
    if len(head) < 6:
        return syntax == IMPLICIT_VR_LITTLE_ENDIAN
    return not (head[4:].isalpha() and head[4:].isupper())


def _uid(header: Dataset, path: Path, keyword: str) -> str:
    return text(header, keyword) or _missing(path, keyword)


def _missing(path: Path, keyword: str) -> str:
    raise CorruptInput(f"{path} has no {keyword}")
