"""Everything that can be read from a file, one module per kind.

To add one: write `sources/x.py` with a FORMAT that satisfies SlideFormat, and name it in `_built_in`, before those that
would take its files for their own. Other packages add formats through entry points of group `wsi_dicom.sources`, each
a SlideFormat; they are asked first.
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Final

from wsi_dicom.errors import NotFound, UnsupportedFormat
from wsi_dicom.slide import Slide, SlideFormat

ENTRY_POINTS: Final = "wsi_dicom.sources"
_HEAD_BYTES: Final = 64 << 10


def _built_in() -> tuple[SlideFormat, ...]:
    from wsi_dicom.sources import svs, tiff

    return svs.FORMAT, tiff.FORMAT


@cache
def formats() -> tuple[SlideFormat, ...]:
    """All formats in the order in which they are asked."""
    installed = tuple(entry.load() for entry in entry_points(group=ENTRY_POINTS))
    return installed + _built_in()


def open_slide(path: Path) -> Slide:
    """Opens a file as the first format that claims it. Raises NotFound, UnsupportedFormat, CorruptInput."""
    tried = ", ".join(kind.name for kind in formats())
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except FileNotFoundError:
        raise NotFound(f"{path}: no such file") from None
    except IsADirectoryError:
        raise UnsupportedFormat(f"{path}: a directory; name a file of one of these formats: {tried}") from None
    except OSError as error:
        raise UnsupportedFormat(f"{path}: cannot be read ({error.strerror}); formats: {tried}") from error
    for kind in formats():
        if kind.detect(path, head):
            return kind.open(path)
    raise UnsupportedFormat(f"{path}: {'empty' if not head else 'not a slide'}; none of these formats: {tried}")
