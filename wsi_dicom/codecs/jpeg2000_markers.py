"""JPEG 2000 codestreams by their main header (ITU-T T.800 annex A), raw or within JP2 (annex I); never decoded."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from wsi_dicom.codecs.stream_shape import StreamShape
from wsi_dicom.errors import CodecError

_SOC_SIZ: Final = b"\xff\x4f\xff\x51"
_JP2_SIGNATURE: Final = b"\x00\x00\x00\x0cjP  "
_MOST_TILES: Final = 0xFFFF  # they are numbered with 16 bits (A.4.2)
_SIGNED: Final = 0x80  # of a component's depth
_CAP, _COD, _COC, _SOT = 0xFF50, 0xFF52, 0xFF53, 0xFF90


@dataclass(frozen=True, slots=True)
class Jpeg2000Header:
    """The main header of a codestream.

    `reversible` is the 5/3 wavelet, else 9/7. `component_transform`: the first three components are RCT (reversible) or
    ICT (irreversible) of red, green and blue. `subsampled`: some components have fewer samples than pixels. `signed`:
    samples are numbers in two's complement. `part1`: no extension of part 2 or 15 is needed, which is what DICOM's
    transfer syntaxes .90 and .91 demand (PS3.5 8.2.4). The codestream begins at `codestream_offset`, which is 0 unless
    a JP2 file is around it, and ends at `codestream_end`; its main header ends at `header_end`.
    """

    width: int
    height: int
    samples: int
    bits: int
    reversible: bool
    component_transform: bool
    subsampled: bool
    signed: bool
    part1: bool
    codestream_offset: int
    codestream_end: int
    header_end: int

    @property
    def shape(self) -> StreamShape:
        return StreamShape(self.width, self.height, self.samples, self.bits)


def _codestream(data: bytes) -> tuple[int, int]:
    """Offset and end of the codestream: the whole, or the contents of the `jp2c` box. Raises CodecError."""
    if data.startswith(_SOC_SIZ):
        return 0, len(data)
    if not data.startswith(_JP2_SIGNATURE):
        raise CodecError("not a JPEG 2000 stream: it begins with neither FF 4F FF 51 nor the signature of JP2")
    position = 0
    while position + 8 <= len(data):
        size, kind = int.from_bytes(data[position : position + 4], "big"), data[position + 4 : position + 8]
        start = position + 8
        if size == 1:
            size, start = int.from_bytes(data[start : start + 8], "big"), position + 16
        end = position + size if size else len(data)
        if end < start or end > len(data):
            break
        if kind == b"jp2c" and data.startswith(_SOC_SIZ, start):
            return start, end
        position = end
    raise CodecError("broken JP2 file: no codestream in it")


def bare(data: bytes) -> bytes:
    """The codestream without the JP2 file that may be around it. Raises CodecError."""
    begin, end = _codestream(data)
    return data[begin:end] if begin else data


def parse_header(data: bytes, *, signed: bool = False) -> Jpeg2000Header:
    """Raises CodecError when this is no JPEG 2000, is broken, or has components of unlike numbers.

    So it does for signed numbers, unless `signed` says that they are welcome.
    """
    offset, codestream_end = _codestream(data)
    transform: bool | None = None
    wavelets: set[int] = set()
    siz, extended = b"", False
    position = offset + 2
    while True:
        marker = int.from_bytes(data[position : position + 2], "big")
        end = position + 2 + int.from_bytes(data[position + 2 : position + 4], "big")
        if marker < 0xFF00 or end > codestream_end or end < position + 4:
            raise CodecError(f"broken JPEG 2000 stream: its main header breaks off at byte {position}")
        if marker == _SOT:
            break
        segment = data[position + 4 : end]
        if not siz:
            siz = segment
        elif marker == _COD and len(segment) >= 10:
            transform = segment[4] == 1
            wavelets.add(segment[9])
        elif marker == _COC:
            skip = 1 if int.from_bytes(siz[34:36], "big") < 257 else 2  # the component's number
            wavelets.update(segment[skip + 5 : skip + 6])
        extended = extended or marker == _CAP
        position = end
    if transform is None:
        raise CodecError("broken JPEG 2000 stream: no coding style in its main header")
    width, height, samples, depth, subsampled = _image_size(siz)
    if depth & _SIGNED and not signed:
        raise CodecError("a JPEG 2000 stream with signed samples cannot be read here")
    return Jpeg2000Header(
        width=width,
        height=height,
        samples=samples,
        bits=(depth & ~_SIGNED) + 1,
        reversible=wavelets == {1},
        component_transform=transform,
        subsampled=subsampled,
        signed=bool(depth & _SIGNED),
        part1=not extended and not int.from_bytes(siz[:2], "big") & 0xC000,  # Rsiz: extensions of parts 2 and 15
        codestream_offset=offset,
        codestream_end=codestream_end,
        header_end=position,
    )


def _image_size(siz: bytes) -> tuple[int, int, int, int, bool]:
    """Width, height, samples, the depth of each (Ssiz) and whether subsampled: the SIZ segment (T.800 A.5.1)."""
    samples = int.from_bytes(siz[34:36], "big")
    if not samples or len(siz) < 36 + 3 * samples:
        raise CodecError("broken JPEG 2000 stream: its size segment is too short")
    right, bottom, left, top, tile_width, tile_height, tiles_left, tiles_top = struct.unpack_from(">8I", siz, 2)
    depths, steps = set(siz[36 : 36 + 3 * samples : 3]), set()
    for component in range(samples):
        steps.add((siz[37 + 3 * component], siz[38 + 3 * component]))
    if len(depths) > 1:
        raise CodecError("a JPEG 2000 stream with samples of unlike depths cannot be read")
    if right <= left or bottom <= top:
        raise CodecError("broken JPEG 2000 stream: it has no pixels")
    if not (tile_width and tile_height and tiles_left <= left and tiles_top <= top):
        raise CodecError("broken JPEG 2000 stream: its tiles have no size, or begin within the picture")
    tiles = -(-(right - tiles_left) // tile_width) * -(-(bottom - tiles_top) // tile_height)
    if tiles > _MOST_TILES:
        raise CodecError(f"broken JPEG 2000 stream: it has {tiles} tiles, where {_MOST_TILES} is the most there can be")
    return right - left, bottom - top, samples, min(depths), steps != {(1, 1)}
