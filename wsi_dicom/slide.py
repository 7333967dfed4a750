"""What everything that can be read satisfies: Slide, and the kinds of things that open one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, Final, NamedTuple, Protocol, Self, TypeAlias

from numpy.typing import NDArray

from wsi_dicom.errors import OutOfBounds
from wsi_dicom.geometry import FIRST_PLANE, Level, PixelFormat, Plane, Pyramid
from wsi_dicom.metadata import LossyStep, SlideMetadata

Pixels: TypeAlias = NDArray[Any]
"""(height, width, samples), uint8 or uint16; samples is 3 (red, green, blue) or 1 (gray)."""


class ImageFlavor(StrEnum):
    """Value 3 of DICOM's Image Type (PS3.3 C.8.12.4.1.1)."""

    VOLUME = "VOLUME"
    THUMBNAIL = "THUMBNAIL"
    LABEL = "LABEL"
    OVERVIEW = "OVERVIEW"

    @property
    def shows_label(self) -> bool:
        """Whether a slide's label is in it, and so whatever is written there: that may name a patient."""
        return self in LABEL_IMAGES


LABEL_IMAGES: Final = frozenset({ImageFlavor.LABEL, ImageFlavor.OVERVIEW})
"""All that `shows_label`: what is left out where no label may be shown."""


@dataclass(frozen=True, slots=True)
class Encoding:
    """How tiles are stored: a DICOM transfer syntax UID and the photometric interpretation of the stored samples.

    The photometric interpretation is the one DICOM gives such a stream (PS3.5 8.2), for example YBR_FULL_422 for any
    YCbCr JPEG.
    """

    transfer_syntax: str
    photometric: str
    sampling: tuple[int, int] | None = field(default=None, compare=False)
    """How many luma samples share a chroma sample, across and down, in a level's JPEG streams: what is encoded to stand
    beside them is sampled alike."""

    @property
    def chroma(self) -> tuple[int, int]:
        """`sampling` of new JPEG streams: where it is not known, YCbCr is stored as scanners do."""
        return (self.sampling or (2, 2)) if self.photometric.startswith("YBR") else (1, 1)


class EncodedTile(NamedTuple):
    """One tile as stored: a complete stream that decodes on its own, and how it is encoded."""

    data: bytes
    encoding: Encoding


WHITE = (255, 255, 255)
BLACK = (0, 0, 0)


@dataclass(frozen=True, slots=True)
class SourceOptions:
    """What a user may say about how a source is read.

    `color` (red, green, blue) is what a tile that the source lacks, or a pixel that it holds as transparent, looks
    like; None: as the source tells, else white. `padding` rounds width and height of flat pictures up to its multiples,
    in that colour. `tolerant`: tiles that lie outside of their file fail when they are read; else it is refused at
    once, as truncated.
    """

    color: tuple[int, int, int] | None = None
    padding: int = 1
    tolerant: bool = False

    @property
    def background(self) -> tuple[int, int, int]:
        """The colour for sources that tell none."""
        return self.color or WHITE


AS_FOUND = SourceOptions()


class AssociatedImage(Protocol):
    """A picture that comes with the slide: label, overview (Aperio: macro) or thumbnail."""

    width: int
    height: int
    pixel_format: PixelFormat
    lossy_method: str | None
    """DICOM's term for the lossy compression that the stored pixels went through; None when nothing was lost."""
    stored_bytes: int
    """Bytes of the picture as stored."""

    def encoded(self) -> EncodedTile | None:
        """The whole picture as one stream that DICOM may hold; None when it is not stored so."""
        ...

    def pixels(self) -> Pixels:
        """Shape (height, width, samples). Raises CodecError."""
        ...


class Slide(Protocol):
    """An open slide. A context manager; every method may be called from many threads at once."""

    name: str
    """What to call it in messages: a file name or a UID."""
    files: tuple[Path, ...]
    """All that it is read from, the one that was named first; empty when it lies elsewhere."""
    pyramid: Pyramid
    metadata: SlideMetadata
    associated: Mapping[ImageFlavor, AssociatedImage]
    background: tuple[int, int, int]
    """What a missing tile, and what is transparent, looks like: red, green, blue, 0..255."""
    sparse: bool
    """Whether so much of the slide was never scanned that it should stay absent: `absent` tells where."""

    def absent(self, level: int, column: int, row: int, plane: Plane = FIRST_PLANE) -> bool:
        """Whether the source has nothing at all for a tile of a `sparse` slide. Raises what `tile` raises.

        May have to decode the tile; a `tile` that follows soon in the same thread does not decode it again.
        """
        ...

    def encoding(self, level: int) -> Encoding | None:
        """How the tiles of a level are stored, when DICOM may hold them as they are; else None."""
        ...

    def lossy_method(self, level: int) -> str | None:
        """Lossy Image Compression Method (PS3.3 C.7.6.1.1.5.1) that the stored pixels of this level went through.

        None when nothing was lost that the source knows of.
        """
        ...

    def losses(self, level: int) -> tuple[LossyStep, ...]:
        """The whole history of lossy compression of the stored pixels, as far as the source tells it, oldest first."""
        ...

    def derivation(self, level: int) -> str | None:
        """What the source says of how these pixels came from those of the scanner; None when they are its own."""
        ...

    def stored_bytes(self, level: int) -> int:
        """Upper bound of the bytes that all `encoded_tile`s of a level (all planes) have together.

        An estimate where the slide has no `files`.
        """
        ...

    def encoded_tile(self, level: int, column: int, row: int, plane: Plane = FIRST_PLANE) -> EncodedTile | None:
        """A tile as stored. None when it is missing, or is not stored in the `encoding` of its level.

        Raises OutOfBounds, CorruptInput.
        """
        ...

    def encoded_row(self, level: int, row: int, plane: Plane = FIRST_PLANE) -> Iterator[EncodedTile | None]:
        """The `encoded_tile`s of a whole row, left to right; what lies together is read together."""
        ...

    def tile(self, level: int, column: int, row: int, plane: Plane = FIRST_PLANE) -> Pixels:
        """A tile's pixels, shape (tile_height, tile_width, samples), also at the edges.

        A missing tile, and what is transparent, has the background's colour.

        Raises OutOfBounds, CorruptInput, CodecError; the message names level, column and row.
        """
        ...

    def close(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class SlideBase(Slide):
    """What slides have in common unless they say otherwise: dense, and read tile by tile; a context manager."""

    files: tuple[Path, ...] = ()
    background: tuple[int, int, int] = WHITE
    sparse: bool = False

    def _grid(self, level: int, plane: Plane) -> Level:
        """The tiles of a level. Raises OutOfBounds for a level, or a plane, that the slide lacks."""
        if not (0 <= plane[0] < self.pyramid.optical_paths and 0 <= plane[1] < self.pyramid.focal_planes):
            raise self._lacks(plane)
        return self.pyramid.level(level)

    def _lacks(self, plane: Plane) -> OutOfBounds:
        return OutOfBounds(
            f"{self.name}: optical path {plane[0]}, focal plane {plane[1]}: the slide has "
            f"{self.pyramid.optical_paths} optical paths and {self.pyramid.focal_planes} focal planes"
        )

    def losses(self, level: int) -> tuple[LossyStep, ...]:
        method = self.lossy_method(level)
        return () if method is None else (LossyStep(method),)

    def derivation(self, level: int) -> str | None:
        return None

    def absent(self, level: int, column: int, row: int, plane: Plane = FIRST_PLANE) -> bool:
        return False

    def encoded_row(self, level: int, row: int, plane: Plane = FIRST_PLANE) -> Iterator[EncodedTile | None]:
        return (self.encoded_tile(level, column, row, plane) for column in range(self.pyramid.level(level).columns))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class SlideView(SlideBase):
    """What shows something of others that stay its owners: closing it closes nothing, and no pictures come with it."""

    associated: Mapping[ImageFlavor, AssociatedImage] = MappingProxyType({})

    def close(self) -> None:
        return


class SlideFormat(Protocol):
    """A kind of input, found by its content."""

    key: str
    """What `--source` calls it: lower case, no spaces."""
    name: str
    """What people call it."""

    def detect(self, path: Path, head: bytes) -> bool:
        """Whether the file looks like this kind, from its first 64 KiB. Opens no whole slide, raises nothing.

        Of a folder, `head` is empty.
        """
        ...

    def open(self, path: Path, options: SourceOptions = AS_FOUND) -> Slide:
        """Raises UnsupportedFormat, CorruptInput."""
        ...
