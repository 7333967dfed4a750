"""In which order the samples of uncompressed pixels lie (PS3.5 8.1, PS3.3 C.7.6.3.1.2 and C.7.6.3.1.3)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from wsi_dicom.dicom.header import Instance, integer
from wsi_dicom.dicom.index import NativeFrames, PixelData
from wsi_dicom.errors import UnsupportedFormat
from wsi_dicom.geometry import Level, PixelFormat


@dataclass(frozen=True, slots=True)
class NativeLayout:
    """What the bytes of a frame are, where they are not yet little-endian samples, pixel by pixel."""

    width: int
    height: int
    samples: int
    bytes_per_sample: int
    planar: bool = False
    """Colour by colour."""
    chroma_shared: bool = False
    """Two pixels next to each other, as two luma samples, share the two chroma samples behind them (YBR_FULL_422)."""
    big_endian: bool = False
    in_words: bool = False
    """Of big-endian samples of 8 bits: whether two at a time make a word, the second one first."""

    @property
    def frame_size(self) -> int:
        """Bytes of one frame."""
        return self.width * self.height * (2 if self.chroma_shared else self.samples) * self.bytes_per_sample

    @property
    def plain(self) -> bool:
        swapped = self.big_endian and (self.bytes_per_sample == 2 or self.in_words)
        return not (self.planar or self.chroma_shared or swapped)

    def arranged(self, frame: bytes) -> bytes:
        """Little-endian samples, pixel by pixel."""
        words = self.big_endian and self.in_words and self.bytes_per_sample == 1
        stored = np.frombuffer(frame, f"{'>' if self.big_endian else '<'}u{2 if words else self.bytes_per_sample}")
        stored = stored.astype(stored.dtype.newbyteorder("<"), copy=False)
        stored = stored.view("u1") if words else stored
        if self.chroma_shared:
            pairs = stored.reshape(-1, 4)
            return pairs[:, [0, 2, 3, 1, 2, 3]].tobytes()
        return stored.reshape(self.samples, -1).T.tobytes() if self.planar else stored.tobytes()


def read_layout(
    instance: Instance, level: Level, stored: PixelFormat, photometric: str, frames: int, pixel_data: PixelData
) -> NativeLayout:
    """Raises UnsupportedFormat for frames that begin or end within a pair of samples, CorruptInput."""
    in_words = pixel_data.vr == b"OW"
    whole = frames * level.tile_width * level.tile_height * stored.bytes_per_pixel
    layout = NativeLayout(
        width=level.tile_width,
        height=level.tile_height,
        samples=stored.samples,
        bytes_per_sample=stored.bits // 8,
        planar=stored.samples == 3 and integer(instance, "PlanarConfiguration", 0, low=0, high=1) == 1,
        # Some writers have a chroma sample for every pixel, whatever they say.
        chroma_shared=photometric == "YBR_FULL_422" and (pixel_data.length or 0) < whole,
        big_endian=instance.big_endian,
        in_words=in_words,
    )
    halved = (layout.chroma_shared and layout.width % 2) or (not layout.plain and in_words and layout.frame_size % 2)
    if halved or (layout.chroma_shared and layout.planar):
        raise UnsupportedFormat(
            f"{instance.path} has {photometric} tiles of {layout.width} x {layout.height} pixels with two samples in a "
            "pair, in which they cannot be read; rewrite it with `dcmconv +te`"
        )
    return layout


class ArrangedFrames:
    """Uncompressed frames of another layout, given back as little-endian samples, pixel by pixel."""

    def __init__(self, frames: NativeFrames, layout: NativeLayout) -> None:
        self.stored_bytes = frames.stored_bytes
        self._frames = frames
        self._layout = layout

    def read(self, frame: int) -> bytes:
        return self._layout.arranged(self._frames.read(frame))

    def read_run(self, first: int, count: int) -> Iterator[bytes]:
        return map(self.read, range(first, first + count))

    def first_fragment(self) -> bytes:
        return self.read(0)
