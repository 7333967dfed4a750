"""Olympus (Evident) VSI with its ETS files, by SlideIO.

`slide.vsi` is a TIFF file with metadata and a thumbnail; the pixels lie in `_slide_/stack*/frame_t*.ets` beside it. No
real file of it was at hand: what SlideIO gives has been tested with slides of other formats that it reads.
"""

from __future__ import annotations

from pathlib import Path

from wsi_dicom.errors import CorruptInput, UnsupportedFormat
from wsi_dicom.slide import AS_FOUND, Slide, SourceOptions
from wsi_dicom.tiff.structure import Tag, TiffFile, is_tiff


def is_vsi(path: Path) -> bool:
    """Whether a TIFF file is but the head of a VSI slide: by its folder of ETS files, or, if that is lost, its name."""
    return path.suffix.lower() == ".vsi" or bool(_frames(path))


def _frames(path: Path) -> list[Path]:
    """The ETS files that belong to a VSI file."""
    return sorted((path.parent / f"_{path.stem}_").glob("stack*/frame_t*.ets"))


def _own_sizes(path: Path) -> set[tuple[int, int]]:
    """Of the pictures that lie in the VSI file itself."""
    with TiffFile(path) as file:
        return {(one.integer(Tag.IMAGE_WIDTH, 0), one.integer(Tag.IMAGE_LENGTH, 0)) for one in file.directories()}


class VsiFormat:
    """Found by the folder of ETS files beside a TIFF."""

    key = "vsi"
    name = "Olympus VSI"

    def detect(self, path: Path, head: bytes) -> bool:
        return is_tiff(head) and is_vsi(path)

    def open(self, path: Path, options: SourceOptions = AS_FOUND) -> Slide:
        frames = _frames(path)
        if not frames:
            raise UnsupportedFormat(f"{path.name}: the folder _{path.stem}_ with its ETS files must lie beside it")
        try:
            import slideio

            from wsi_dicom.sources.slideio_slide import SlideioSlide, reading
        except ImportError as error:
            raise UnsupportedFormat(
                f"{path.name}: Olympus VSI is read with an optional package: pip install wsi-dicom[vsi]"
            ) from error
        with reading(path):
            file = slideio.open_slide(str(path), "VSI")
            try:
                slide = SlideioSlide(path, file, tuple(frames))
            except BaseException:
                file.close()
                raise
        if (slide.pyramid.base.width, slide.pyramid.base.height) in _own_sizes(path):
            slide.close()  # SlideIO falls back to them when the metadata do not tell of the ETS files
            raise CorruptInput(f"{path.name}: SlideIO finds the pictures of the VSI file only, not those of ETS files")
        return slide


FORMAT = VsiFormat()
