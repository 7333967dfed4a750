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


def existing_path(word: str) -> Path | None:
    """The file or folder that is called so; None where it has to be a series of the store.

    Raises InvalidRequest for an empty word, a URL, and what is neither a file nor a folder (a pipe never ends),
    NotFound for what can be no series either.
    """
    from wsi_dicom.errors import InvalidRequest, NotFound
    from wsi_dicom.stores.local import is_identifier

    if not word:  # an unset variable of a shell
        raise InvalidRequest("SERIES is empty")
    path = Path(word)
    if path.exists():
        if not (path.is_file() or path.is_dir()):
            raise InvalidRequest(f"{path} is neither a file nor a folder")
        return path
    if url := _URL.match(word):  # the user and password that it may name are not repeated
        raise InvalidRequest(f"{url[1]}://...: series are read from files and from the local store, not from URLs")
    if not is_identifier(word):
        raise NotFound(
            f"{word}: no such file or folder, and it is neither a SeriesInstanceUID nor an Orthanc identifier"
        )
    return None


def opened_slide(
    word: str, store: Path | None, *, color: tuple[int, int, int] | None = None, tolerant: bool = False
) -> Slide:
    """For `color` and `tolerant` see SourceOptions. Raises WsiError."""
    from wsi_dicom.slide import SourceOptions
    from wsi_dicom.sources import open_slide

    if (path := existing_path(word)) is not None:
        return open_slide(path, None, SourceOptions(color, tolerant=tolerant))
    return open_store(store).open(word, color)
