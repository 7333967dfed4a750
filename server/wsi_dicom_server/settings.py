"""What can be set about the server. Built once by whoever starts it, and passed in."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from wsi_dicom.errors import InvalidRequest


def _decoders() -> int:
    return max(2, os.cpu_count() or 1)


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """All values are checked when made. Raises InvalidRequest.

    `public_url` is the address that clients see when it is not the one they connect to (behind a proxy), without the
    routes. `open_slides` bounds how many series are held open; `decoders` how many pictures are decoded and encoded at
    once; `max_pixels` is the size of the largest picture made (IIIF's maxArea).
    """

    host: str = "127.0.0.1"
    port: int = 8000
    public_url: str | None = None
    open_slides: int = 64
    decoders: int = field(default_factory=_decoders)
    max_pixels: int = 1 << 24
    jpeg_quality: int = 90

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise InvalidRequest(f"port {self.port} is outside 0 to 65535")
        if not 1 <= self.jpeg_quality <= 100:
            raise InvalidRequest(f"JPEG quality {self.jpeg_quality} is outside 1 to 100")
        if min(self.open_slides, self.decoders, self.max_pixels) < 1:
            raise InvalidRequest("the numbers of open slides, decoders and pixels must be at least 1")
        if self.public_url is not None:
            url = urlsplit(self.public_url)
            if url.scheme not in ("http", "https") or not url.netloc or url.query or url.fragment:
                raise InvalidRequest(f"public URL {self.public_url!r}: expected something like https://slides.example")
