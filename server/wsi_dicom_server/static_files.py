"""Our own style sheets, scripts and pictures, held in memory: a request never names a file."""

from __future__ import annotations

import hashlib
import mimetypes
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable

VIEWER_SCRIPT = "vendor/openseadragon/openseadragon.min.js"


@dataclass(frozen=True, slots=True)
class StaticFile:
    """A file as it is sent."""

    body: bytes
    media_type: str
    etag: str


def load_static_files() -> dict[str, StaticFile]:
    """Every file of the package's `static` folder, by its path inside it."""
    found: dict[str, StaticFile] = {}
    _load(files("wsi_dicom_server") / "static", "", found)
    return found


def _load(folder: Traversable, prefix: str, found: dict[str, StaticFile]) -> None:
    for entry in folder.iterdir():
        name = prefix + entry.name
        if entry.is_dir():
            _load(entry, f"{name}/", found)
        else:
            body = entry.read_bytes()
            media_type = mimetypes.guess_type(name)[0] or "text/plain"
            if media_type.startswith("text/"):
                media_type += "; charset=utf-8"
            found[name] = StaticFile(body, media_type, f'"{hashlib.sha256(body).hexdigest()[:20]}"')
