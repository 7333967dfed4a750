"""Everything that can be read from a file, one module per kind.

To add one: write `sources/x.py` with a FORMAT that satisfies SlideFormat, and name it in `_built_in`, before those that
would take its files for their own. Other packages add formats through entry points of group `wsi_dicom.sources`, each
a SlideFormat; they are asked first.

A format that claims a file and then cannot read it, with UnsupportedFormat, leaves it to the next one that claims it:
so a vendor's file whose tiles we cannot take ourselves comes to OpenSlide. With UnsupportedStack it does not: the next
one would read the file, and lose what the first one refused it for.
"""

from __future__ import annotations

import logging
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Final

from wsi_dicom.errors import CorruptInput, InvalidRequest, NotFound, UnsupportedFormat, UnsupportedStack
from wsi_dicom.slide import AS_FOUND, Slide, SlideFormat, SourceOptions

_log = logging.getLogger(__name__)

ENTRY_POINTS: Final = "wsi_dicom.sources"
_HEAD_BYTES: Final = 64 << 10


def _built_in() -> tuple[SlideFormat, ...]:
    from wsi_dicom.sources import (
        czi,
        dicom_series,
        huron,
        leica_scn,
        motic,
        ndpi,
        ome_tiff,
        openslide_slide,
        philips,
        pictures,
        qptiff,
        svs,
        tiff,
        trestle,
        ventana,
        vsi,
    )

    return (
        dicom_series.FORMAT,
        svs.FORMAT,
        ndpi.FORMAT,
        philips.FORMAT,
        ventana.FORMAT,
        leica_scn.FORMAT,
        qptiff.FORMAT,
        huron.FORMAT,
        motic.FORMAT,
        trestle.FORMAT,
        ome_tiff.FORMAT,
        vsi.FORMAT,
        czi.FORMAT,
        openslide_slide.FORMAT,
        tiff.FORMAT,
        pictures.FORMAT,
    )


@cache
def formats() -> tuple[SlideFormat, ...]:
    """All formats in the order in which they are asked."""
    installed = tuple(entry.load() for entry in entry_points(group=ENTRY_POINTS))
    return installed + _built_in()


def open_slide(path: Path, source: str | None = None, options: SourceOptions = AS_FOUND) -> Slide:
    """Opens a file, or a folder, as the first format that claims it and can read it; as the one called `source` if any.

    Raises NotFound, UnsupportedFormat, CorruptInput, InvalidRequest (no such source).
    """
    head = _head(path)
    if source is not None:
        return _named(source).open(path, options)
    failure: UnsupportedFormat | None = None
    for kind in formats():
        if not kind.detect(path, head):
            continue
        try:
            slide = kind.open(path, options)
        except UnsupportedStack:
            raise
        except UnsupportedFormat as error:
            failure = failure or error
        except CorruptInput:
            if failure is None:
                raise  # else the format that knows the file best has already said what is wrong with it
        else:
            if failure is not None:
                _log.warning("%s; it is read as %s instead", failure, kind.name)
            return slide
    if failure is not None:
        raise failure
    what = "a folder that is no slide" if path.is_dir() else "not a slide" if head else "empty"
    raise UnsupportedFormat(f"{path}: {what}; none of these formats: {_names()}")


def recognised(path: Path) -> SlideFormat | None:
    """The first format that claims a file or folder, unopened; None for none. Raises NotFound, UnsupportedFormat."""
    head = _head(path)
    return next((kind for kind in formats() if kind.detect(path, head)), None)


def _named(source: str) -> SlideFormat:
    for kind in formats():
        if kind.key == source.lower():
            return kind
    raise InvalidRequest(f"no source is called {source!r}; there are {', '.join(kind.key for kind in formats())}")


def _names() -> str:
    return ", ".join(kind.name for kind in formats())


def _head(path: Path) -> bytes:
    """The first bytes of a file, none of a folder."""
    try:
        if path.is_dir():
            return b""
        with path.open("rb") as file:
            return file.read(_HEAD_BYTES)
    except FileNotFoundError:
        raise NotFound(f"{path}: no such file") from None
    except OSError as error:
        raise UnsupportedFormat(f"{path}: cannot be read ({error.strerror}); formats: {_names()}") from error
