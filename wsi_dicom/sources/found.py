"""Which of many files are slides, and which only parts of them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from wsi_dicom.errors import UnsupportedFormat, WsiError
from wsi_dicom.sources import open_slide, recognised

logger = logging.getLogger(__name__)


def slides_among(files: Sequence[Path], source: str | None = None) -> list[Path]:
    """The files that stand for a slide each, in their order: a DICOM series is one; so is what lies in several files.

    What cannot be read, but claims to be a slide, is among them: it fails when it is opened. With a `source` every
    file is tried as one of that kind. Raises NotFound, UnsupportedFormat.
    """
    slides: list[Path] = []
    parts: set[Path] = set()  # of slides that are there already
    for path in files:
        if path in parts:
            continue
        if source is None and recognised(path) is None:
            logger.info("%s: left out, it does not look like a slide", path)
            continue
        if (others := _others(path, source)) is None:
            continue
        parts |= others
        slides.append(path)
    return [path for path in slides if path not in parts]


def _others(path: Path, source: str | None) -> set[Path] | None:
    """The other files that a slide is read from; None for DICOM of other kinds. What cannot be read fails later."""
    try:
        with open_slide(path, source) as slide:
            return {file for file in slide.files if file != path}
    except UnsupportedFormat as error:
        kind = recognised(path)
        if kind is not None and kind.key == "dicom":  # a folder of images often holds reports, too
            logger.info("left out: %s", error)
            return None
        return set()
    except WsiError:
        return set()
