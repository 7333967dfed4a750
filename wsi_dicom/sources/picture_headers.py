"""Flat pictures by their headers: what is in them, before anything is allocated for it."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from wsi_dicom.codecs import jpeg2000_markers, jpeg_markers, jpegxl_header
from wsi_dicom.codecs.stream_shape import StreamShape
from wsi_dicom.codecs.transfer_syntaxes import (
    JPEG_2000,
    JPEG_2000_LOSSLESS,
    JPEG_BASELINE,
    JPEG_XL,
    JPEG_XL_LOSSLESS,
    JPEG_XL_RECOMPRESSION,
    lossy_method,
)
from wsi_dicom.errors import CodecError, UnsupportedFormat
from wsi_dicom.geometry import Spacing
from wsi_dicom.slide import Encoding
from wsi_dicom.sources.exif import Exif, read_exif
from wsi_dicom.tiff.layout import printed_spacing

_MAX_ICC_BYTES: Final = 16 << 20
_PNG_SAMPLES: Final = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}
"""Of each colour type (PNG 11.2.1); palettes are decoded to red, green and blue."""
_LOSSLESS_JPEG: Final = frozenset({0xC3, 0xC7, 0xCB, 0xCF})  # T.81 table B.1
_JPEG_LS: Final = 0xF7
_DENSITY: Final = {1: 1 / 0.0254, 2: 100.0}
"""JFIF's dots per inch and per centimetre, as dots per metre."""
_OPACITY: Final = 1  # Typ of T.800 I.5.3.6
_YCBCR_JP2: Final = 18  # EnumCS of T.800 I.5.3.3


@dataclass(frozen=True, slots=True)
class PictureHeader:
    """What a picture's file says of it.

    `kind` is the name of the compression, `shape` that of the stored pixels. With 2 or 4 samples the last is opacity.
    `encoding` is how our codecs are told to decode the file up to `end`; None for what is no compression of DICOM's.
    `stream` cuts the one frame out of the file that DICOM may hold; None when it may not. `orientation` is that of
    Exif: 1 is upright.
    """

    kind: str
    shape: StreamShape
    encoding: Encoding | None = None
    end: int | None = None
    stream: Callable[[bytes], bytes | None] | None = None
    lossy_method: str | None = None
    orientation: int = 1
    spacing: Spacing | None = None
    icc_profile: bytes | None = field(default=None, repr=False)

    @property
    def colours(self) -> int:
        """Samples but for opacity: 1 or 3."""
        return 1 if self.shape.samples < 3 else 3


def _per_metre(x: float, y: float) -> Spacing | None:
    """Spacing from pixels per metre."""
    return printed_spacing(1e6 / x, 1e6 / y) if x and y else None


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """(type, contents) of the chunks before the pixels (PNG 5.3). Raises CodecError."""
    position = 8
    while position + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, position)
        if kind == b"IDAT":
            return
        if position + 12 + size > len(data):
            break
        yield kind, data[position + 8 : position + 8 + size]
        position += 12 + size
    raise CodecError("truncated PNG: it ends before its pixels")


def read_png(data: bytes) -> PictureHeader:
    """Raises CodecError."""
    chunks = dict(_png_chunks(data))
    header = chunks.get(b"IHDR", b"")
    if len(header) != 13:
        raise CodecError("broken PNG: it has no header")
    width, height, bits, colour = struct.unpack_from(">IIBB", header)
    exif = read_exif(chunks[b"eXIf"]) if b"eXIf" in chunks else Exif()
    physical, spacing = chunks.get(b"pHYs", b""), exif.spacing
    if len(physical) == 9 and physical[8] == 1:  # else the numbers tell the shape of a pixel only
        spacing = _per_metre(*struct.unpack_from(">II", physical))
    icc_profile = None
    _, found, profile = chunks.get(b"iCCP", b"").partition(b"\0")
    if found:
        try:
            icc_profile = zlib.decompressobj().decompress(profile[1:], _MAX_ICC_BYTES)
        except zlib.error:
            icc_profile = None  # a picture is not worth less than one without a profile
    samples = _PNG_SAMPLES.get(colour, 3) + (b"tRNS" in chunks)
    shape = StreamShape(width, height, samples, 16 if bits == 16 else 8)  # fewer than 8 bits are decoded to 8
    return PictureHeader("PNG", shape, orientation=exif.orientation, spacing=spacing, icc_profile=icc_profile)


def read_jpeg(data: bytes) -> PictureHeader:
    """Raises CodecError, UnsupportedFormat."""
    header = jpeg_markers.parse_header(data)
    if header.sof == _JPEG_LS:
        raise UnsupportedFormat("a JPEG-LS picture is not supported")
    if len(header.components) not in (1, 3):
        raise UnsupportedFormat(f"a JPEG picture of {len(header.components)} components (CMYK) is not supported")
    end = data.rfind(jpeg_markers.EOI, header.scan_offset)  # cameras put more pictures behind the first
    if end < 0:
        raise CodecError("the JPEG stream is cut off: it does not end with FF D9")
    exif, spacing, profile = Exif(), None, {}
    for number, content in jpeg_markers.application_data(data):
        if number == 0 and content.startswith(b"JFIF\0") and len(content) >= 12:
            unit, x, y = struct.unpack_from(">BHH", content, 7)
            spacing = _per_metre(x * _DENSITY[unit], y * _DENSITY[unit]) if unit in _DENSITY else None
        elif number == 1 and content.startswith(b"Exif\0\0"):
            exif = read_exif(content[6:])
        elif number == 2 and content.startswith(b"ICC_PROFILE\0") and len(content) > 14:
            profile[content[12]] = content[14:]
    copied = header.baseline and exif.orientation == 1 and jpeg_markers.bare(data) is not None
    return PictureHeader(
        "JPEG",
        header.shape,
        Encoding(JPEG_BASELINE, header.photometric, header.sampling[0]),
        end=end + 2,
        stream=jpeg_markers.bare if copied else None,
        lossy_method=None if header.sof in _LOSSLESS_JPEG else "ISO_10918_1",
        orientation=exif.orientation,
        spacing=spacing or exif.spacing,
        icc_profile=b"".join(part for _, part in sorted(profile.items())) or None,
    )


def _boxes(data: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """(type, start, end) of the contents of the boxes of a JP2 file, or of one of its boxes (T.800 I.4)."""
    while start + 8 <= end:
        size, kind = struct.unpack_from(">I4s", data, start)
        stop = start + size if size else end
        if size == 1 or not start + 8 <= stop <= end:  # 64 bits are for the pixels, which come last
            return
        yield kind, start + 8, stop
        start = stop


def _jp2_header(data: bytes, end: int) -> Mapping[bytes, bytes]:
    """The contents of the boxes that describe a picture; empty for a bare codestream."""
    found: dict[bytes, bytes] = {}
    for kind, start, stop in _boxes(data, 0, end):
        for inner, begin, finish in _boxes(data, start, stop) if kind == b"jp2h" else ():
            if inner == b"res ":
                found |= {name: data[a:b] for name, a, b in _boxes(data, begin, finish)}
            found.setdefault(inner, data[begin:finish])
    return found


def _last_is_opacity(definitions: bytes, samples: int) -> bool:
    """By the box of channel definitions (I.5.3.6): number, type and association of each."""
    if samples not in (2, 4) or len(definitions) < 2 or len(definitions) % 6 != 2:
        return False
    types = {number: kind for number, kind, _ in struct.iter_unpack(">HHH", definitions[2:])}
    return types.get(samples - 1) == _OPACITY and all(types.get(number, 0) == 0 for number in range(samples - 1))


def read_jpeg2000(data: bytes) -> PictureHeader:
    """A codestream, or a JP2 or JPH file. Raises CodecError, UnsupportedFormat."""
    header = jpeg2000_markers.parse_header(data)
    described = _jp2_header(data, header.codestream_offset)
    if b"pclr" in described:
        raise UnsupportedFormat("a JPEG 2000 picture with a palette is not supported")
    method, space = (described.get(b"colr", b"") + bytes(3))[:1], described.get(b"colr", b"")[3:]
    colours = 1 if header.samples < 3 else 3
    if header.samples > colours and not _last_is_opacity(described.get(b"cdef", b""), header.samples):
        raise UnsupportedFormat(
            f"a JPEG 2000 picture of {header.samples} components, of which nothing says that the last is opacity"
        )
    ycbcr = method == b"\x01" and int.from_bytes(space[:4], "big") == _YCBCR_JP2
    if colours == 1:
        photometric = "MONOCHROME2"
    elif header.component_transform:
        photometric = "YBR_RCT" if header.reversible else "YBR_ICT"
    else:
        photometric = "YBR_FULL" if ycbcr else "RGB"
    plain = header.part1 and not header.subsampled and header.samples == colours and photometric != "YBR_FULL"
    lossy = "ISO_15444_1" if header.part1 else "ISO_15444_15"
    spacing = None
    if len(described.get(b"resc", b"")) == 10:  # capture resolution (I.5.3.7.1): numerators, denominators, exponents
        down, down_by, across, across_by, down_power, across_power = struct.unpack(">HHHHbb", described[b"resc"])
        if down_by and across_by:
            spacing = _per_metre(across / across_by * 10.0**across_power, down / down_by * 10.0**down_power)
    return PictureHeader(
        "JPEG 2000",
        header.shape,
        Encoding(JPEG_2000_LOSSLESS if header.reversible else JPEG_2000, photometric),
        stream=_codestream if plain and header.bits in (8, 16) else None,
        lossy_method=None if header.reversible else lossy,
        spacing=spacing,
        icc_profile=space if method == b"\x02" and space else None,
    )


def _codestream(data: bytes) -> bytes:
    header = jpeg2000_markers.parse_header(data)
    return data[header.codestream_offset : header.codestream_end]


def read_webp(data: bytes) -> PictureHeader:
    """Raises CodecError, UnsupportedFormat."""
    chunks: dict[bytes, bytes] = {}
    position = 12
    while position + 8 <= len(data):
        kind, size = struct.unpack_from("<4sI", data, position)
        chunks.setdefault(kind, data[position + 8 : position + 8 + size])
        position += 8 + size + size % 2
    if b"ANIM" in chunks:
        raise UnsupportedFormat("an animated WebP picture is not supported")
    lossless, lossy = chunks.get(b"VP8L", b""), chunks.get(b"VP8 ", b"")
    opaque = b"ALPH" not in chunks
    if len(lossless) >= 5:  # 14 bits each, less one, behind a signature byte; then whether there is opacity
        sides = int.from_bytes(lossless[1:5], "little")
        width, height, opaque = 1 + (sides & 0x3FFF), 1 + (sides >> 14 & 0x3FFF), not sides >> 28 & 1
    elif len(lossy) >= 10:  # RFC 6386 9.1: the upper two bits of each are a scale for display
        width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", lossy, 6))
    else:
        raise CodecError("broken WebP picture: it has no pixels")
    exif = read_exif(chunks.get(b"EXIF", b"").removeprefix(b"Exif\0\0"))
    return PictureHeader(
        "WebP",
        StreamShape(width, height, 3 if opaque else 4, 8),
        lossy_method=None if lossless else "WEBP",  # DICOM has no term for it
        orientation=exif.orientation,
        spacing=exif.spacing,
        icc_profile=chunks.get(b"ICCP"),
    )


def read_jpegxl(data: bytes) -> PictureHeader:
    """Raises CodecError, also for what is turned or has opacity."""
    shape = jpegxl_header.parse_header(data)
    if jpegxl_header.holds_jpeg(data):
        encoding = Encoding(JPEG_XL_RECOMPRESSION, "MONOCHROME2" if shape.samples == 1 else "YBR_FULL_422")
    else:
        photometric = "MONOCHROME2" if shape.samples == 1 else "RGB"
        encoding = Encoding(JPEG_XL_LOSSLESS if jpegxl_header.is_lossless(data) else JPEG_XL, photometric)
    return PictureHeader("JPEG XL", shape, encoding, lossy_method=lossy_method(encoding.transfer_syntax))


READERS: Final[tuple[tuple[bytes, Callable[[bytes], PictureHeader]], ...]] = (
    (b"\x89PNG\r\n\x1a\n", read_png),
    (b"\xff\xd8\xff", read_jpeg),
    (b"\xff\x4f\xff\x51", read_jpeg2000),
    (b"\x00\x00\x00\x0cjP  ", read_jpeg2000),
    (b"RIFF", read_webp),
    (b"\xff\x0a", read_jpegxl),
    (b"\x00\x00\x00\x0cJXL ", read_jpegxl),
)
"""By how files begin."""
