"""What the writer is told about one image and about the slide's volume."""

from __future__ import annotations

from dataclasses import dataclass

from wsi_dicom.errors import InvalidRequest
from wsi_dicom.geometry import Level, PixelFormat, Spacing
from wsi_dicom.slide import Encoding, ImageFlavor


@dataclass(frozen=True, slots=True)
class ImagedVolume:
    """Size of the scanned part of the slide (PS3.3 C.8.12.4.1.2): the same for all levels."""

    width_mm: float
    height_mm: float
    depth_um: float = 1.0


@dataclass(frozen=True, slots=True)
class LossyStep:
    """One lossy compression that the pixels went through (PS3.3 C.7.6.1.1.5).

    `method` is the defined term, ISO_10918_1 for instance. `ratio` None, allowed in the last step only, leaves the
    ratio to the writer, which measures it.
    """

    method: str
    ratio: float | None = None


@dataclass(frozen=True, slots=True)
class ImageDescription:
    """One image to write, TILED_FULL with one focal plane and one optical path.

    `resampled`: the pixels come from a finer level. `reencoded`: we compressed them, and lost something. `lossy` is the
    whole history of lossy compression, oldest first. `source_uid` is the SOP instance of the same series that a
    resampled image comes from. `spacing` None: the picture spans the imaged volume; for LABEL and OVERVIEW a nominal
    value is written, and a comment that says so.
    """

    flavor: ImageFlavor
    instance_number: int
    sop_instance_uid: str
    level: Level
    spacing: Spacing | None
    pixel_format: PixelFormat
    encoding: Encoding
    resampled: bool = False
    reencoded: bool = False
    lossy: tuple[LossyStep, ...] = ()
    source_uid: str | None = None
    image_comments: str | None = None

    def __post_init__(self) -> None:
        """Raises InvalidRequest for a size that the attributes of DICOM cannot hold."""
        level = self.level
        if any(step.ratio is None for step in self.lossy[:-1]):
            raise ValueError("only the last lossy step may leave its ratio to the writer")
        if self.flavor is not ImageFlavor.VOLUME and level.tile_count != 1:
            raise ValueError(f"a {self.flavor} image has one frame, not {level.tile_count}")
        if max(level.tile_width, level.tile_height) > 0xFFFF:
            raise InvalidRequest(
                f"a {self.flavor} frame of {level.tile_width} x {level.tile_height} pixels is larger than the 65535 "
                "that DICOM allows per side; use smaller tiles, or reduce the picture"
            )
        if max(level.width, level.height) > 0xFFFFFFFF or level.tile_count > 0x7FFFFFFF:
            raise InvalidRequest(
                f"a level of {level.width} x {level.height} pixels in {level.tile_count} tiles is larger than DICOM "
                "allows (2^32-1 pixels per side, 2^31-1 frames); use larger tiles"
            )

    @property
    def image_type(self) -> list[str]:
        """The four values of Image Type (PS3.3 C.8.12.4.1.1)."""
        original = not (self.resampled or self.reencoded)
        return [
            "ORIGINAL" if original else "DERIVED",
            "PRIMARY",
            self.flavor.value,
            "RESAMPLED" if self.resampled else "NONE",
        ]

    @property
    def shows_label(self) -> bool:
        return self.flavor in (ImageFlavor.LABEL, ImageFlavor.OVERVIEW)
