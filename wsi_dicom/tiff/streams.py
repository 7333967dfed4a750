"""Which stored tiles of a level DICOM may hold as they are, and what completes them to streams of their own.

As a rule all tiles of a level begin with the same header. So one tile is parsed when the level is opened and the others
are compared with it; only those that differ are parsed as well.
"""

from __future__ import annotations

from typing import Final, NamedTuple, Protocol

from wsi_dicom.codecs import jpeg2000_markers, jpeg_markers
from wsi_dicom.codecs.transfer_syntaxes import JPEG_2000, JPEG_2000_LOSSLESS, JPEG_BASELINE, JPEG_EXTENDED
from wsi_dicom.errors import CodecError
from wsi_dicom.slide import EncodedTile, Encoding
from wsi_dicom.tiff.layout import Compression, TiffLayout
from wsi_dicom.tiff.loss import stored_loss
from wsi_dicom.tiff.samples import Photometric

_JPEG_2000_BEGINNINGS: Final = (b"\xff\x4f\xff\x51", b"\x00\x00\x00\x0cjP  ")  # a codestream; JP2


class StoredStreams(Protocol):
    """The stored tiles of one level."""

    encoding: Encoding | None
    """That of the level; None when DICOM may not hold its tiles."""
    lossy_method: str | None
    """As Slide.lossy_method."""
    added: int
    """How many bytes `copy` adds to a tile at most."""

    def copy(self, data: bytes, begin: int = 0, end: int | None = None) -> bytes | None:
        """The complete stream of the tile in `data[begin:end]`, in the level's encoding; None when it has another.

        Raises CodecError.
        """
        ...

    def complete(self, data: bytes) -> EncodedTile:
        """A tile of any encoding as a stream that can be decoded. Raises CodecError."""
        ...

    def begins(self, data: bytes, at: int = 0) -> bool:
        """Whether what is stored at `at` could be a tile at all."""
        ...


class _Splice(NamedTuple):
    prefix: bytes
    skip: int
    header: jpeg_markers.JpegHeader
    encoding: Encoding

    def stream(self, data: bytes) -> bytes:
        return data if self.prefix == jpeg_markers.SOI else self.prefix + data[self.skip :]


class JpegStreams:
    """JPEG, with tables of its own or shared ones.

    Colour is what the stream says; where it is silent, what the photometric interpretation of the image says. Aperio's
    RGB is silent, and its YCbCrSubSampling field describes something else: sampling comes from the frame header.
    """

    lossy_method: str | None = "ISO_10918_1"

    def __init__(self, layout: TiffLayout, first: bytes) -> None:
        """`first` is any tile of the level. Raises CodecError when it is not JPEG."""
        self._shared_tables = layout.tables is not None
        self._tag_is_rgb = layout.photometric == Photometric.RGB
        self._plain_prefix = jpeg_markers.tables_prefix(layout.tables, mark_rgb=False)
        self._rgb_prefix = jpeg_markers.tables_prefix(layout.tables, mark_rgb=True)
        self.added = len(self._rgb_prefix)
        self._size = layout.level.tile_width, layout.level.tile_height
        splice = self._first = self._splice(first)
        samples = len(splice.header.components)
        inverted = layout.photometric == Photometric.WHITE_IS_ZERO
        copyable = splice.header.baseline and samples == layout.pixel_format.samples and not inverted
        self.encoding = splice.encoding if copyable else None
        self._head: bytes | None = None
        if self._copyable(splice):
            self._head = first[: splice.header.scan_offset - len(self._plain_prefix) + 2]

    def copy(self, data: bytes, begin: int = 0, end: int | None = None) -> bytes | None:
        head = self._head
        if head is not None and data.startswith(head, begin) and data.endswith(jpeg_markers.EOI, begin, end):
            first = self._first
            if first.prefix == jpeg_markers.SOI:
                return data[begin:end]
            return b"".join((first.prefix, memoryview(data)[begin + first.skip : end]))  # copies the scan just once
        data = data[begin:end]
        splice = self._splice(data)
        length = jpeg_markers.end_of_stream(data)
        return splice.stream(data[:length]) if length is not None and self._copyable(splice) else None

    def complete(self, data: bytes) -> EncodedTile:
        splice = self._splice(data)
        return EncodedTile(splice.stream(data), splice.encoding)

    def begins(self, data: bytes, at: int = 0) -> bool:
        return data.startswith(jpeg_markers.SOI, at)

    def _copyable(self, splice: _Splice) -> bool:
        """Whether a tile has the level's encoding and the size of the grid's tiles; DICOM allows any sampling."""
        header = splice.header
        return splice.encoding == self.encoding and header.baseline and (header.width, header.height) == self._size

    def _splice(self, data: bytes) -> _Splice:
        if not data.startswith(jpeg_markers.SOI):
            raise CodecError("it is not JPEG: it does not begin with the bytes FF D8")
        header = jpeg_markers.parse_header(self._plain_prefix + data[2:])
        silent_rgb = self._tag_is_rgb and header.colour is None and len(header.components) == 3
        photometric = "RGB" if silent_rgb else header.photometric
        return _Splice(
            prefix=self._rgb_prefix if silent_rgb else self._plain_prefix,
            skip=jpeg_markers.body_offset(data) if self._shared_tables else 2,
            header=header,
            encoding=Encoding(JPEG_BASELINE if header.bits == 8 else JPEG_EXTENDED, photometric, header.sampling[0]),
        )


class Jpeg2000Streams:
    """JPEG 2000. YCbCr without a component transform (Aperio 33003) has no name in DICOM that readers agree upon."""

    added = 0

    def __init__(self, layout: TiffLayout, first: bytes) -> None:
        """`first` is any tile of the level. Raises CodecError when it is not JPEG 2000."""
        self._ycbcr = layout.compression == Compression.APERIO_JP2K_YCBCR or layout.photometric == Photometric.YCBCR
        self._size = layout.level.tile_width, layout.level.tile_height
        header = jpeg2000_markers.parse_header(first)
        self._format = layout.pixel_format.samples, layout.pixel_format.bits
        self._inverted = layout.photometric == Photometric.WHITE_IS_ZERO
        self.encoding = self._encoding(header)
        self.lossy_method = None if header.reversible else "ISO_15444_1"
        self._head = first[: header.header_end] if self.encoding and not header.codestream_offset else None

    def copy(self, data: bytes, begin: int = 0, end: int | None = None) -> bytes | None:
        data = data[begin:end]
        if self._head is not None and data.startswith(self._head):
            return data
        header = jpeg2000_markers.parse_header(data)
        if self.encoding is None or self._encoding(header) != self.encoding:
            return None
        return data[header.codestream_offset : header.codestream_end]

    def complete(self, data: bytes) -> EncodedTile:
        return EncodedTile(data, self.encoding or Encoding(JPEG_2000, "RGB"))

    def begins(self, data: bytes, at: int = 0) -> bool:
        return data.startswith(_JPEG_2000_BEGINNINGS, at)

    def _encoding(self, header: jpeg2000_markers.Jpeg2000Header) -> Encoding | None:
        size, found = (header.width, header.height), (header.samples, header.bits)
        if not header.part1 or header.subsampled or self._inverted or size != self._size or found != self._format:
            return None
        if header.samples == 1:
            photometric = "MONOCHROME2"
        elif header.component_transform:
            photometric = "YBR_RCT" if header.reversible else "YBR_ICT"
        elif self._ycbcr:
            return None
        else:
            photometric = "RGB"
        return Encoding(JPEG_2000_LOSSLESS if header.reversible else JPEG_2000, photometric)


class OtherStreams:
    """Compressions of TIFF that DICOM does not have."""

    encoding: Encoding | None = None
    added = 0

    def __init__(self, layout: TiffLayout, first: bytes) -> None:
        self.lossy_method = stored_loss(layout, first)

    def copy(self, data: bytes, begin: int = 0, end: int | None = None) -> bytes | None:
        return None

    def complete(self, data: bytes) -> EncodedTile:
        return EncodedTile(data, Encoding("", ""))

    def begins(self, data: bytes, at: int = 0) -> bool:
        return True
