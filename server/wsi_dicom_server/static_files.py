"""Our own style sheets, scripts and pictures, held in memory: a request never names a file."""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Final

from wsi_dicom_server.negotiation import preferred_coding

VIEWER_SCRIPT = "vendor/openseadragon/openseadragon.min.js"

_SUFFIXES: Final = {"br": ".br", "gzip": ".gz"}
"""Content codings, the best one first, and what ends the names of files that build_assets.py has compressed."""
_SMALLEST: Final = 600  # bytes; below, a file is no packet fewer when compressed


@dataclass(frozen=True, slots=True)
class StaticFile:
    """A file as it is sent: its body in each content coding that there is of it, "identity" as it is."""

    media_type: str
    bodies: Mapping[str, bytes]
    digest: str

    def coding(self, accept_encoding: str) -> str:
        """That which the value of an Accept-Encoding header likes best."""
        return preferred_coding(accept_encoding, tuple(self.bodies))

    def etag(self, coding: str) -> str:
        """Bodies that differ have entity tags that do (RFC 9110, 8.8.3.3)."""
        return f'"{self.digest}"' if coding == "identity" else f'"{self.digest}-{coding}"'


def load_static_files() -> dict[str, StaticFile]:
    """Every file of the package's `static` folder, by its path inside it."""
    found: dict[str, StaticFile] = {}
    _load(files("wsi_dicom_server") / "static", "", found)
    return found


def _load(folder: Traversable, prefix: str, found: dict[str, StaticFile]) -> None:
    entries = {entry.name: entry for entry in folder.iterdir()}
    for name, entry in entries.items():
        if entry.is_dir():
            _load(entry, f"{prefix}{name}/", found)
        elif not name.endswith(tuple(_SUFFIXES.values())):
            built = {coding: entries[name + end] for coding, end in _SUFFIXES.items() if name + end in entries}
            found[prefix + name] = _read(entry, built)


def _read(file: Traversable, built: Mapping[str, Traversable]) -> StaticFile:
    """The scripts of others were compressed when they were fetched, as well as can be; ours are small."""
    body = file.read_bytes()
    bodies = {coding: compressed.read_bytes() for coding, compressed in built.items()}
    if not bodies and len(body) >= _SMALLEST:
        bodies["gzip"] = gzip.compress(body, mtime=0)
    media_type = mimetypes.guess_type(file.name)[0] or "text/plain"
    if media_type.startswith("text/"):
        media_type += "; charset=utf-8"
    return StaticFile(media_type, {**bodies, "identity": body}, hashlib.sha256(body).hexdigest()[:20])
