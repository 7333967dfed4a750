"""Ways of breaking a DICOM file that know its elements: lengths, tags, values, what is where and how often."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from pydicom.tag import Tag

from tests.fuzz.dicom_elements import ITEM, Element, elements, packed, unpacked
from tests.fuzz.numbers import NUMBERS, TEXTS, Number, added, with_number, written
from wsi_dicom.codecs.transfer_syntaxes import KNOWN, UNENCAPSULATED

_BINARY: Final = {b"US": "H", b"SS": "H", b"UL": "I", b"SL": "I", b"AT": "H", b"OW": "H", b"OL": "I", b"OV": "Q"}
_REALS: Final = {b"FL": "f", b"FD": "d"}
_VRS: Final = (
    b"SQ",
    b"UN",
    b"OB",
    b"OW",
    b"US",
    b"UL",
    b"SS",
    b"IS",
    b"DS",
    b"CS",
    b"UI",
    b"FD",
    b"PN",
    b"??",
    b"\0\0",
)
_WORDS: Final = (
    b"", b"\\", b"\\\\\\", b" ", b"\0", b"\xff\xfe", b"A" * 5000, b"1\\2\\3", b"../../etc", b"\x1b[2J", b"\r\n",
    b"2.25", *TEXTS,
)  # fmt: skip
_WRITTEN: Final[Mapping[str, Sequence[bytes]]] = {
    "TransferSyntaxUID": [uid.encode() for uid in sorted(KNOWN | UNENCAPSULATED)],
    "SOPClassUID": [b"1.2.840.10008.5.1.4.1.1.77.1.6", b"1.2.840.10008.5.1.4.1.1.7"],
    "DimensionOrganizationType": [b"TILED_FULL", b"TILED_SPARSE", b"3D", b""],
    "ImageType": [b"ORIGINAL\\PRIMARY\\" + kind for kind in (b"VOLUME\\NONE", b"LABEL", b"THUMBNAIL\\NONE", b"")],
    "PhotometricInterpretation": [
        b"RGB", b"YBR_FULL", b"YBR_FULL_422", b"YBR_ICT", b"YBR_RCT", b"MONOCHROME1", b"MONOCHROME2", b"PALETTE COLOR",
        b"XYB",
    ],
    "SpecificCharacterSet": [b"ISO_IR 192", b"ISO 2022 IR 87\\ISO 2022 IR 159", b"\\GB18030", b"UTF-16", b"none"],
    "NumberOfFrames": [b"1", b"2", b"6", b"12", b"2147483647", b"1e3", b"6\\6"],
}  # fmt: skip
_VALUES: Final = {int(Tag(keyword)): values for keyword, values in _WRITTEN.items()}
_NAMES: Final = (
    *_WRITTEN, "Rows", "Columns", "TotalPixelMatrixColumns", "TotalPixelMatrixRows", "SamplesPerPixel",
    "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PlanarConfiguration", "PixelData",
    "ExtendedOffsetTable", "ExtendedOffsetTableLengths", "PerFrameFunctionalGroupsSequence",
    "PlanePositionSlideSequence", "SharedFunctionalGroupsSequence", "OpticalPathSequence", "OpticalPathIdentifier",
    "PixelSpacing", "TotalPixelMatrixFocalPlanes", "ConcatenationUID", "ConcatenationFrameOffsetNumber",
    "InConcatenationNumber", "RowPositionInTotalImagePixelMatrix", "ColumnPositionInTotalImagePixelMatrix",
    "ZOffsetInSlideCoordinateSystem", "RedPaletteColorLookupTableDescriptor", "RedPaletteColorLookupTableData",
    "RescaleSlope", "RescaleIntercept", "TotalPixelMatrixOriginSequence", "ImageOrientationSlide",
    "RecommendedAbsentPixelCIELabValue", "ICCProfile", "LossyImageCompressionRatio", "ReferencedFileID",
    "DirectoryRecordSequence", "SpacingBetweenSlices",
)  # fmt: skip
IMPORTANT: Final = {int(Tag(keyword)) for keyword in _NAMES} | {ITEM}
"""What pixels and their places follow from."""


def with_element_broken(data: bytes, dice: random.Random) -> bytes:
    """One element broken, half of the time one of the IMPORTANT; a deflated data set is packed again."""
    whole, deflated_from = unpacked(data)
    found = elements(whole)
    if not found:
        return data
    chosen = [element for element in found if element.tag in IMPORTANT] if dice.random() < 0.5 else found
    broken = dice.choices(_WAYS, _ODDS)[0](whole, dice.choice(chosen or found), found, dice)
    return packed(broken, None if deflated_from is None else min(deflated_from, len(broken)))


def _put(data: bytes, element: Element, begin: int, end: int, new: bytes, dice: random.Random) -> bytes:
    """`new` instead of what lies from `begin` to `end`; as a rule the lengths around the element are kept right."""
    changed = data[:begin] + new + data[end:]
    difference = len(new) - (end - begin)
    if difference and dice.random() < 0.9:
        for number in element.around:  # which lie before the element
            if struct.unpack_from(number.code, changed, number.offset)[0] != 0xFFFFFFFF:
                changed = added(changed, number, difference)
    return changed


def _with_length(data: bytes, element: Element, _found: Sequence[Element], dice: random.Random) -> bytes:
    if dice.random() < 0.5:
        return with_number(data, element.length, dice)
    return written(data, element.length, dice.choice((0, 0xFFFFFFFF, 0xFFFFFFFE, len(data), len(data) - element.value)))


def _with_value(data: bytes, element: Element, _found: Sequence[Element], dice: random.Random) -> bytes:
    """Another one of its kind; or one of its numbers changed, in its place."""
    size = element.end - element.value
    code = _BINARY.get(element.vr) or (dice.choice("HI") if not element.vr or element.vr in (b"OB", b"UN") else None)
    if code and size >= struct.calcsize(code) and dice.random() < 0.8:
        index = dice.randrange(min(size // struct.calcsize(code), 64))
        offset = element.value + index * struct.calcsize(code)
        return with_number(data, Number(offset, element.byte_order + code), dice)
    value = _value(element, dice)
    changed = _put(data, element, element.value, element.end, value, dice)
    return written(changed, element.length, len(value)) if dice.random() < 0.95 else changed


def _value(element: Element, dice: random.Random) -> bytes:
    """Of even length, as a rule."""
    if element.tag in _VALUES and dice.random() < 0.7:
        value = dice.choice(_VALUES[element.tag])
    elif element.vr in _REALS:
        real = dice.choice((0.0, -1.0, 1e300, float("nan"), float("inf"), 1e-300, -0.0))
        value = struct.pack(element.byte_order + "d", real)[: 8 if element.vr == b"FD" else 4]
    elif element.vr in _BINARY and dice.random() < 0.5:
        value = b"".join(struct.pack(element.byte_order + "Q", dice.choice(NUMBERS)) for _ in range(dice.randrange(4)))
    else:
        value = dice.choice(_WORDS)
    return value + b" " * (len(value) % 2 and dice.random() < 0.9)


def _with_tag(data: bytes, element: Element, found: Sequence[Element], dice: random.Random) -> bytes:
    """That of another element, or of one that counts; or nearly its own."""
    if dice.random() < 0.3:
        return with_number(data, element.name, dice)
    tag = dice.choice((dice.choice(found).tag, dice.choice(sorted(IMPORTANT))))
    stored = struct.pack(element.byte_order + "HH", tag >> 16, tag & 0xFFFF)
    return data[: element.begin] + stored + data[element.begin + 4 :]


def _with_vr(data: bytes, element: Element, _found: Sequence[Element], dice: random.Random) -> bytes:
    return data[: element.begin + 4] + dice.choice(_VRS) + data[element.begin + 6 :]


def _without(data: bytes, element: Element, _found: Sequence[Element], dice: random.Random) -> bytes:
    return _put(data, element, element.begin, element.end, b"", dice)


def _repeated(data: bytes, element: Element, _found: Sequence[Element], dice: random.Random) -> bytes:
    whole = data[element.begin : element.end]
    times = min(dice.choice((1, 1, 2, 1000)), 1 + (1 << 20) // len(whole))
    return _put(data, element, element.end, element.end, whole * times, dice)


def _moved(data: bytes, element: Element, found: Sequence[Element], dice: random.Random) -> bytes:
    """A copy of it before another one."""
    other = dice.choice(found)
    return _put(data, other, other.begin, other.begin, data[element.begin : element.end], dice)


def _swapped(data: bytes, element: Element, found: Sequence[Element], dice: random.Random) -> bytes:
    """With one that is not around it, nor in it."""
    first, second = sorted((element, dice.choice(found)), key=lambda each: each.begin)
    if first.end > second.begin:
        return data
    middle = data[first.end : second.begin]
    parts = data[second.begin : second.end], middle, data[first.begin : first.end]
    return data[: first.begin] + b"".join(parts) + data[second.end :]


def _nested(data: bytes, element: Element, _found: Sequence[Element], dice: random.Random) -> bytes:
    """Before it a sequence in a sequence in a sequence."""
    depth, order = dice.choice((3, 40, 300, 3000)), element.byte_order
    head = struct.pack(order + "HH", 0x0048, 0x0105) + (b"SQ\0\0" if element.vr else b"")
    undefined = struct.pack(order + "I", 0xFFFFFFFF)
    item = struct.pack(order + "HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)
    ends = struct.pack(order + "HHIHHI", 0xFFFE, 0xE00D, 0, 0xFFFE, 0xE0DD, 0)
    whole = (head + undefined + item) * depth + ends * dice.choice((depth, 0))
    return _put(data, element, element.begin, element.begin, whole, dice)


def _cut(data: bytes, element: Element, _found: Sequence[Element], dice: random.Random) -> bytes:
    """The file ends at an edge of the element, or just beside it."""
    return data[: dice.choice((element.begin, element.value, element.end)) + dice.choice((-1, 0, 0, 1, 4))]


_Way = Callable[[bytes, Element, Sequence[Element], random.Random], bytes]
_CHOSEN: Final[Mapping[_Way, int]] = {
    _with_value: 30,
    _with_length: 15,
    _without: 10,
    _with_tag: 8,
    _repeated: 8,
    _with_vr: 6,
    _moved: 6,
    _swapped: 6,
    _cut: 5,
    _nested: 2,
}
_WAYS, _ODDS = list(_CHOSEN), list(_CHOSEN.values())
