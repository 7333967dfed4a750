"""JPEG streams by their marker segments (ITU-T T.81 annex B): read, completed and joined, never decoded.

Markers are found by walking the segments by their lengths. A search for marker bytes would also find them inside of
tables, thumbnails and comments.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, TypeAlias

from wsi_dicom.codecs.stream_shape import StreamShape
from wsi_dicom.errors import CodecError

SOI: Final = b"\xff\xd8"
EOI: Final = b"\xff\xd9"
SOF0: Final = 0xC0
SOF3: Final = 0xC3
"""Lossless (T.81 annex H)."""
SOF55: Final = 0xF7
"""JPEG-LS (T.87 C.1.1)."""
_START_OF_FRAME: Final = frozenset({*range(0xC0, 0xD0), SOF55}) - {0xC4, 0xC8, 0xCC}  # not DHT, JPG, DAC
_STANDALONE: Final = frozenset({0x01, *range(0xD0, 0xD8)})  # TEM and RSTn have no length
_APP0, _APP2, _APP8, _APP14, _DRI, _SOS, _COM = 0xE0, 0xE2, 0xE8, 0xEE, 0xDD, 0xDA, 0xFE
_ADOBE_RGB: Final = bytes.fromhex("FFEE000E41646F626500648000000000")  # version 100, flags0 0x8000, transform 0

Colour: TypeAlias = Literal["RGB", "YCbCr", "gray"]


class Component(NamedTuple):
    """One component of the frame header, with its horizontal and vertical sampling factors."""

    id: int
    h: int
    v: int


@dataclass(frozen=True, slots=True)
class JpegHeader:
    """Everything before the entropy-coded data of the first scan.

    `sof` is the second byte of the frame marker (0xC0: baseline). `adobe_transform` is that of APP14, None without one.
    `restart_interval` counts MCUs, 0 for none. `size_offset` is where the frame header has its height (2 bytes) and
    then its width; `scan_offset` is the first byte of entropy-coded data. `colour` is what the stream itself says of
    its samples, None when it is silent.
    """

    width: int
    height: int
    bits: int
    sof: int
    components: tuple[Component, ...]
    adobe_transform: int | None
    jfif: bool
    restart_interval: int
    size_offset: int
    scan_offset: int
    colour: Colour | None

    @property
    def baseline(self) -> bool:
        """Whether DICOM's JPEG baseline (PS3.5 8.2.1, process 1) may hold the stream: SOF0, 8 bits."""
        return self.sof == SOF0 and self.bits == 8 and len(self.components) in (1, 3)

    @property
    def shape(self) -> StreamShape:
        return StreamShape(self.width, self.height, len(self.components), self.bits)

    @property
    def photometric(self) -> str:
        """DICOM's photometric interpretation (PS3.5 8.2.1); a stream that is silent about its colours has YCbCr."""
        return {"gray": "MONOCHROME2", "RGB": "RGB"}.get(self.colour or "", "YBR_FULL_422")

    @property
    def sampling(self) -> tuple[tuple[int, int], ...]:
        return tuple((component.h, component.v) for component in self.components)

    @property
    def mcu_size(self) -> tuple[int, int]:
        """Width and height in pixels of one MCU (T.81 A.2): always one block when there is one component."""
        if len(self.components) == 1:
            return 8, 8
        return 8 * max(c.h for c in self.components), 8 * max(c.v for c in self.components)


class _Segment(NamedTuple):
    marker: int
    start: int
    """Offset of the marker."""
    payload: int
    """Offset right after the length."""
    end: int


def _segments(data: bytes) -> Iterator[_Segment]:
    """Marker segments from after SOI up to and with SOS; stops before EOI. Raises CodecError."""
    if not data.startswith(SOI):
        raise CodecError("not a JPEG stream: it does not begin with the bytes FF D8")
    position, size = 2, len(data)
    while position + 1 < size:
        if data[position] != 0xFF:
            raise CodecError(f"broken JPEG stream: no marker at byte {position}")
        marker = data[position + 1]
        if marker == 0xFF:  # fill byte
            position += 1
        elif marker in _STANDALONE:
            position += 2
        elif marker == EOI[1]:
            return
        else:
            end = position + 2 + int.from_bytes(data[position + 2 : position + 4], "big")
            if end > size or end < position + 4:
                raise CodecError(f"broken JPEG stream: the segment at byte {position} reaches beyond its end")
            yield _Segment(marker, position, position + 4, end)
            if marker == _SOS:
                return
            position = end
    raise CodecError("truncated JPEG stream: it ends within its header")


def _components(frame: bytes) -> tuple[Component, ...]:
    count = frame[5] if len(frame) >= 6 else 0
    if not count or len(frame) < 6 + 3 * count:
        raise CodecError("broken JPEG stream: its frame header is too short")
    found = tuple(Component(frame[i], frame[i + 1] >> 4, frame[i + 1] & 15) for i in range(6, 6 + 3 * count, 3))
    if any(not (1 <= c.h <= 4 and 1 <= c.v <= 4) for c in found):
        raise CodecError("broken JPEG stream: sampling factors outside 1 to 4")
    return found


def _colour(components: tuple[Component, ...], adobe: int | None, jfif: bool) -> Colour | None:
    """What the stream says, with the same precedence as libjpeg. JFIF knows no RGB (T.871 7)."""
    if len(components) == 1:
        return "gray"
    if len(components) != 3:
        return None
    if jfif or adobe == 1:
        return "YCbCr"
    if adobe == 0 or bytes(c.id for c in components) == b"RGB":
        return "RGB"
    return None


def parse_header(data: bytes, *, sized: bool = True) -> JpegHeader:
    """Raises CodecError when this is not JPEG, or is broken before its first scan. Allocates nothing by its sizes.

    `sized` False: a width or height of 0 passes; Hamamatsu writes it for what is too large for JPEG.
    """
    frame: tuple[_Segment, bytes] | None = None
    adobe: int | None = None
    jfif, restart_interval = False, 0
    for segment in _segments(data):
        marker, _, payload, end = segment
        if marker in _START_OF_FRAME:
            frame = segment, data[payload:end]
        elif marker == _APP14 and data.startswith(b"Adobe", payload) and end >= payload + 12:
            adobe = data[payload + 11]
        elif marker == _APP0 and data.startswith(b"JFIF\0", payload):
            jfif = True
        elif marker == _DRI:
            restart_interval = int.from_bytes(data[payload:end], "big")
        elif marker == _SOS:
            if frame is None:
                break
            (sof, _, size_offset, _), content = frame
            components = _components(content)
            height, width = int.from_bytes(content[1:3], "big"), int.from_bytes(content[3:5], "big")
            if sized and not (width and height):
                raise CodecError(f"a JPEG stream of {width} x {height} pixels cannot be read")
            colour = _colour(components, adobe, jfif)
            return JpegHeader(
                width, height, content[0], sof, components, adobe, jfif, restart_interval, size_offset + 1, end, colour
            )
    raise CodecError("broken JPEG stream: no frame header before its first scan")


def tables_prefix(tables: bytes | None, *, mark_rgb: bool) -> bytes:
    """What goes before the body of an abbreviated stream (T.81 B.5) to complete it.

    `tables` is the tables-only stream of TIFF's JPEGTables tag. `mark_rgb` adds Adobe's APP14 with transform 0, without
    which readers take three components for YCbCr. Raises CodecError.
    """
    marker = _ADOBE_RGB if mark_rgb else b""
    if tables is None:
        return SOI + marker
    kept = (tables[s.start : s.end] for s in _segments(tables) if s.marker != _APP0)
    return SOI + marker + b"".join(kept)


def without_spiff(data: bytes) -> bytes:
    """A stream without the directory of a SPIFF file (T.84 annex F) that CharLS puts before JPEG-LS.

    DICOM holds the interchange format, and the directory ends with a second SOI that parsers stumble over.
    """
    first = next((segment.start for segment in _segments(data) if segment.marker != _APP8), 2)
    return SOI + data[first:]


def application_data(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(number, contents) of the APP0 to APP15 segments: JFIF, Exif, ICC profiles. Raises CodecError."""
    for segment in _segments(data):
        if _APP0 <= segment.marker <= _APP0 + 15:
            yield segment.marker - _APP0, data[segment.payload : segment.end]


def bare(data: bytes) -> bytes | None:
    """A stream without comments, application data but for JFIF and Adobe's, and whatever follows it.

    They may name places and people, and are nothing that DICOM needs. None when the stream is cut off, or has several
    scans. Raises CodecError.
    """
    segments = list(_segments(data))
    metadata = (_COM, *(number for number in range(_APP0 + 1, _APP0 + 16) if number != _APP14))
    end = _OTHER_MARKER.search(data, segments[-1].end)
    if end is None or end.group() != EOI:
        return None
    kept = (data[segment.start : segment.end] for segment in segments if segment.marker not in metadata)
    return SOI + b"".join(kept) + data[segments[-1].end : end.end()]


def body_offset(data: bytes) -> int:
    """Where an abbreviated stream goes on after SOI and the JFIF segment, which would be misplaced behind tables."""
    position = 2
    while data.startswith(b"\xff\xe0", position):
        position += 2 + max(2, int.from_bytes(data[position + 2 : position + 4], "big"))
    return position


def with_density(data: bytes, across: int, down: int) -> bytes:
    """A stream whose JFIF segment tells its pixels per centimetre, 1 to 65535 (T.871 10.1).

    JFIF is for gray and YCbCr: an RGB stream would be shown in wrong colours.
    """
    jfif = struct.pack(">HH5s2BB2H2B", 0xFFE0, 16, b"JFIF", 1, 1, 2, across, down, 0, 0)
    return SOI + jfif + data[body_offset(data) :]


_ICC_PROFILE: Final = b"ICC_PROFILE\0"
_PROFILE_PART: Final = 0xFFFF - 2 - len(_ICC_PROFILE) - 2
"""Bytes of a profile that one segment holds, behind its number and how many there are, a byte each."""


def icc_segments(profile: bytes) -> bytes:
    """The APP2 segments of an ICC profile (ICC.1 annex B.4). Raises CodecError: too long for 255 of them."""
    parts = [profile[at : at + _PROFILE_PART] for at in range(0, len(profile), _PROFILE_PART)]
    if len(parts) > 0xFF:
        raise CodecError(f"an ICC profile of {len(profile)} bytes; JPEG holds {0xFF * _PROFILE_PART}")
    return b"".join(
        struct.pack(">BBH", 0xFF, _APP2, len(part) + len(_ICC_PROFILE) + 4)
        + _ICC_PROFILE
        + bytes((number, len(parts)))
        + part
        for number, part in enumerate(parts, start=1)
    )


def with_icc_segments(data: bytes, segments: bytes) -> bytes:
    """A stream with these `icc_segments`, instead of any that it has. One without is not parsed. Raises CodecError."""
    if _ICC_PROFILE in data:
        data = _without_icc_profile(data)
    at = body_offset(data)
    return b"".join((data[:at], segments, data[at:]))


def with_icc_profile(data: bytes, profile: bytes) -> bytes:
    """A stream with this ICC profile, instead of any that it has.

    Raises CodecError: no JPEG, or a profile too long for 255 segments.
    """
    return with_icc_segments(_without_icc_profile(data), icc_segments(profile))


def _without_icc_profile(data: bytes) -> bytes:
    kept = [s for s in _segments(data) if s.marker != _APP2 or not data.startswith(_ICC_PROFILE, s.payload)]
    if not kept or kept[-1].marker != _SOS:
        raise CodecError("broken JPEG stream: it has no scan")
    return SOI + b"".join(data[s.start : s.end] for s in kept) + data[kept[-1].end :]


def end_of_stream(data: bytes) -> int | None:
    """Offset after EOI, when nothing but a few bytes of padding follow it; None when the stream is cut off."""
    if data.endswith(EOI):
        return len(data)
    end = data.rfind(EOI, max(0, len(data) - 16))
    return end + 2 if end >= 0 else None


_RESTART = re.compile(rb"\xff[\xd0-\xd7]")
_OTHER_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")


def _entropy_coded(strip: bytes, header: JpegHeader) -> bytes:
    """The data of the only scan. In them FF is followed by 00 or RSTn, so that the next marker ends them."""
    end = _OTHER_MARKER.search(strip, header.scan_offset)
    if end is None or end.group() != EOI:
        raise CodecError("JPEG strips that are cut off, or have several scans, cannot be joined")
    return strip[header.scan_offset : end.start()]


def join_strips(strips: Sequence[bytes], height: int) -> bytes:
    """One stream out of the complete streams of strips that lie under each other, without decoding.

    The restart interval becomes the MCUs of a strip (or stays, where the strips have one that divides it), a restart
    marker goes between strips, and all are renumbered modulo 8 (T.81 B.2.1, E.1.4). `height` is that of the whole
    picture in pixels. Raises CodecError when the strips cannot be joined so.
    """
    headers = [parse_header(strip) for strip in strips]
    first = headers[0]
    mcu_width, mcu_height = first.mcu_size
    rows = first.height if len(strips) > 1 else height
    mcus = -(-first.width // mcu_width) * -(-rows // mcu_height)
    interval = first.restart_interval or mcus
    last_rows = height - rows * (len(strips) - 1)
    if len(strips) > 1 and (rows % mcu_height or mcus % interval or interval > 0xFFFF):
        raise CodecError(f"JPEG strips of {rows} rows do not end with a restart interval")
    if last_rows <= 0 or -(-headers[-1].height // mcu_height) != -(-last_rows // mcu_height):
        raise CodecError(f"the last JPEG strip has {headers[-1].height} rows where {last_rows} are expected")

    def head(strip: bytes, header: JpegHeader) -> bytes:
        at = header.size_offset
        return strip[:at] + height.to_bytes(2, "big") + strip[at + 2 : header.scan_offset]

    start = head(strips[0], first)
    numbered = 0

    def renumbered(_: re.Match[bytes]) -> bytes:
        nonlocal numbered
        numbered += 1
        return bytes((0xFF, 0xD0 + (numbered - 1) % 8))

    parts = []
    for strip, header in zip(strips, headers, strict=True):
        if head(strip, header) != start or (header.height != rows and header is not headers[-1]):
            raise CodecError("JPEG strips with different headers cannot be joined")
        parts.append(_RESTART.sub(renumbered, _entropy_coded(strip, header) + b"\xff\xd0"))
    body = b"".join(parts)[:-2]  # no restart marker after the last strip
    if len(strips) > 1 and not first.restart_interval:
        start = SOI + b"\xff\xdd\x00\x04" + interval.to_bytes(2, "big") + start[2:]
    return start + body + EOI
