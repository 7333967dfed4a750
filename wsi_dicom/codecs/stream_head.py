"""Whether a stored tile may be copied: what its header says, before its pixels are looked at."""

from __future__ import annotations

from itertools import repeat
from typing import Final

from wsi_dicom.codecs import jpeg2000_markers, jpeg_markers
from wsi_dicom.codecs.stream_shape import check_shape
from wsi_dicom.codecs.transfer_syntaxes import JPEG_2000, JPEG_2000_LOSSLESS, JPEG_BASELINE
from wsi_dicom.geometry import PixelFormat
from wsi_dicom.slide import EncodedTile

_JPEG_2000: Final = (JPEG_2000, JPEG_2000_LOSSLESS)


def bare_tile(tile: EncodedTile, *, anonymous: bool = False) -> EncodedTile | None:
    """A tile without a JP2 file around its codestream, which DICOM (PS3.5 A.4.4) and readers of TIFF want bare.

    `anonymous`: a JPEG stream without comments and application data, too; None when it has several scans. Raises
    CodecError.
    """
    if anonymous and tile.encoding.transfer_syntax == JPEG_BASELINE:
        data = jpeg_markers.bare(tile.data)
        return None if data is None else tile._replace(data=data)
    if tile.encoding.transfer_syntax not in _JPEG_2000:
        return tile
    return tile._replace(data=jpeg2000_markers.bare(tile.data))


def stream_head(
    tile: EncodedTile, width: int, height: int, pixel_format: PixelFormat, *, sampled_alike: bool = False
) -> bytes | None:
    """The header of a JPEG or JPEG 2000 tile that is what its encoding says; of other compressions, nothing.

    What begins with the same bytes needs no second look. None when the tile can be decoded, but is stored otherwise
    than its encoding says: progressive, in other colours or, when they are to be `sampled_alike`, with other sampling
    factors than JPEG in TIFF has. Raises CodecError for one that is broken, or of another shape.
    """
    if tile.encoding.transfer_syntax == JPEG_BASELINE:
        return _jpeg_head(tile, width, height, pixel_format, sampled_alike)
    if tile.encoding.transfer_syntax not in _JPEG_2000:
        return b""
    header = jpeg2000_markers.parse_header(tile.data)
    check_shape("JPEG 2000", header.shape, width, height, pixel_format)
    return tile.data[: header.header_end] if header.part1 else None


def _jpeg_head(
    tile: EncodedTile, width: int, height: int, pixel_format: PixelFormat, sampled_alike: bool
) -> bytes | None:
    header = jpeg_markers.parse_header(tile.data)
    check_shape("JPEG", header.shape, width, height, pixel_format)
    in_rgb = tile.encoding.photometric == "RGB"
    other_colour = header.colour in ("RGB", "YCbCr") and (header.colour == "RGB") != in_rgb
    alike = (tile.encoding.chroma, *repeat((1, 1), len(header.components) - 1))
    if not header.baseline or other_colour or (sampled_alike and header.sampling != alike):
        return None
    return tile.data[: header.scan_offset]
