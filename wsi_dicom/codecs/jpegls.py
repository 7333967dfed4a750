"""JPEG-LS (ISO 14495-1, PS3.5 8.2.3) through CharLS."""

from __future__ import annotations

from wsi_dicom.codecs.jpeg_markers import end_of_stream, parse_header, without_spiff
from wsi_dicom.codecs.stream_shape import check_shape
from wsi_dicom.codecs.transfer_syntaxes import JPEG_LS_LOSSLESS, JPEG_LS_NEAR_LOSSLESS
from wsi_dicom.errors import CodecError
from wsi_dicom.geometry import PixelFormat
from wsi_dicom.slide import EncodedTile, Encoding, Pixels


class JpegLsCodec:
    """8 or 16 bits, gray or colour. Near-lossless streams are read; new ones are always lossless."""

    transfer_syntaxes: tuple[str, ...] = (JPEG_LS_LOSSLESS, JPEG_LS_NEAR_LOSSLESS)

    def encoding(self, pixel_format: PixelFormat, lossless: bool) -> Encoding:
        return Encoding(JPEG_LS_LOSSLESS, "RGB" if pixel_format.samples == 3 else "MONOCHROME2")

    def encode(self, pixels: Pixels, encoding: Encoding, quality: int) -> bytes:
        from imagecodecs import JpeglsError, jpegls_encode

        samples = pixels if pixels.shape[2] > 1 else pixels[:, :, 0]
        largest = 2 * pixels.nbytes + 1024  # noise grows by more than imagecodecs makes room for
        try:
            stream = bytes(jpegls_encode(samples, out=largest))
        except (JpeglsError, ValueError) as error:
            raise CodecError(f"JPEG-LS encoding failed: {error}") from error
        return without_spiff(stream)

    def decode(self, tile: EncodedTile, width: int, height: int, pixel_format: PixelFormat) -> Pixels:
        from imagecodecs import JpeglsError, jpegls_decode

        check_shape("JPEG-LS", parse_header(tile.data).shape, width, height, pixel_format)
        if end_of_stream(tile.data) is None:  # CharLS 2.4 would look for it for ever
            raise CodecError("the JPEG-LS stream is cut off: it does not end with FF D9")
        try:
            pixels: Pixels = jpegls_decode(tile.data)
        except (JpeglsError, ValueError) as error:
            raise CodecError(f"JPEG-LS decoding failed: {error}") from error
        return pixels.reshape(height, width, pixel_format.samples)
