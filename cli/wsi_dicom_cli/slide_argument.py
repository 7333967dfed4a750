"""SERIES on a command line: a file or folder when there is one of that name, else a series of the store."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from wsi_dicom_cli.options import open_store

if TYPE_CHECKING:
    from wsi_dicom.slide import Slide

_URL: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):(//|.*@)")
"""Also a mistyped one that names a password."""


def opened_slide(
    word: str, store: Path | None, *, color: tuple[int, int, int] | None = None, tolerant: bool = False
) -> Slide:
    """For `color` and `tolerant` see SourceOptions. Raises WsiError."""
    from wsi_dicom.errors import InvalidRequest
    from wsi_dicom.slide import SourceOptions
    from wsi_dicom.sources import open_slide

    if not word:  # an unset variable of a shell
        raise InvalidRequest("SERIES is empty")
    if Path(word).exists():
        return open_slide(Path(word), None, SourceOptions(color, tolerant=tolerant))
    if url := _URL.match(word):  # the user and password that it may name are not repeated
        raise InvalidRequest(f"{url[1]}://...: series are read from files and from the local store, not from URLs")
    return open_store(store).open(word, color)
