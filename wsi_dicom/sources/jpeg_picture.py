"""A label or overview that lies beside the levels as a whole JPEG file: in a description, or next to the slide."""

from __future__ import annotations

from wsi_dicom.codecs import codec_for
from wsi_dicom.codecs.jpeg_markers import end_of_stream, parse_header
from wsi_dicom.codecs.transfer_syntaxes import JPEG_BASELINE
from wsi_dicom.errors import CodecError, UnsupportedFormat
from wsi_dicom.geometry import PixelFormat
from wsi_dicom.slide import EncodedTile, Encoding, Pixels
from wsi_dicom.tiff.layout import MAX_TILE_BYTES


class JpegPicture:
    """Satisfies AssociatedImage."""

    lossy_method: str | None = "ISO_10918_1"

    def __init__(self, data: bytes, where: str) -> None:
        """`where` names the picture in messages. Raises UnsupportedFormat, also above 256 MiB of pixels."""
        try:
            header = parse_header(data)
        except CodecError as error:
            raise UnsupportedFormat(f"{where}: {error}") from error
        self.width, self.height, samples = header.width, header.height, len(header.components)
        if samples not in (1, 3) or header.bits != 8:
            raise UnsupportedFormat(f"{where}: JPEG of {samples} samples of {header.bits} bits is not supported")
        if self.width * self.height * samples > MAX_TILE_BYTES:
            raise UnsupportedFormat(f"{where}: {self.width} x {self.height} pixels are too large")
        self.pixel_format = PixelFormat(samples)
        self.stored_bytes = len(data)
        self._tile = EncodedTile(data, Encoding(JPEG_BASELINE, header.photometric, header.sampling[0]))
        self._baseline, self._where = header.baseline, where

    def encoded(self) -> EncodedTile | None:
        end = end_of_stream(self._tile.data)
        return self._tile._replace(data=self._tile.data[:end]) if self._baseline and end else None

    def pixels(self) -> Pixels:
        try:
            return codec_for(JPEG_BASELINE).decode(self._tile, self.width, self.height, self.pixel_format)
        except CodecError as error:
            raise CodecError(f"{self._where}: {error}") from error
