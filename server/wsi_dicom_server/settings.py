"""What can be set about the server. Built once by whoever starts it, and passed in."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from wsi_dicom.errors import InvalidRequest
from wsi_dicom.render import Colors


def _decoders() -> int:
    return max(2, os.cpu_count() or 1)


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """All values are checked when made. Raises InvalidRequest.

    The server listens at `port` of `host`, a name or an address; port 0 is any that is free. `public_url` is the
    address that clients see when it is not the one they connect to (behind a proxy), without the routes. `workers`
    processes share one socket and the store. Each of them holds up to `open_slides` series open and decodes and encodes
    `decoders` pictures at once; `max_pixels` is the size of the largest picture made (IIIF's maxArea), `jpeg_quality`
    that of pictures made, from 1 to 100. `colors`: what becomes of ICC profiles. `hide_labels`: neither labels nor
    overviews, which show them too, are served. `rights` is the URI of a licence or statement of rights that goes with
    all pictures. `decoded_bytes` bounds the decoded pixels that are kept because they will be asked for again soon,
    `answer_bytes` the pictures made of them, and `unread_bytes` those that clients have not read yet.

    `attribution` is a text that viewers must show beside every picture; `provider` and `provider_url` name who provides
    them, and their web page. `hide_dates`: pages, manifests and collections tell no date.

    `iiif`: manifests and collections are there; image services always are, because the viewer is made of them.
    `mirador` and `openseadragon`: the pages with these viewers are there. `powers_of_two`: `info.json` offers no other
    scale factors, even if there are levels of others.

    `access_file` holds the accounts; without one there are none. `allow_anonymous`: everybody may read, from anywhere.
    `user_header` names the header in which one of the `trusted_proxies` (addresses, networks) tells the user's name.
    Pages from `cors_origins` may ask with cookies and passwords; those from elsewhere only with bearer tokens.

    `jobs_file` tells of uploads and what becomes of them, to all processes of a server; without one nothing can be
    uploaded. `jobs_at_once` run, each on its share of the processors; no more than `waiting_jobs` wait or run.
    `largest_upload` is in bytes, of what an archive unpacks to as well. Uploads leave `keep_free` bytes of the disk
    to what is made of them, and to all else.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    public_url: str | None = None
    workers: int = 1
    open_slides: int = 64
    decoders: int = field(default_factory=_decoders)
    max_pixels: int = 1 << 24
    jpeg_quality: int = 90
    colors: Colors = Colors.SRGB
    hide_labels: bool = False
    rights: str | None = None
    attribution: str | None = None
    provider: str | None = None
    provider_url: str | None = None
    hide_dates: bool = False
    decoded_bytes: int = 128 << 20
    answer_bytes: int = 64 << 20
    unread_bytes: int = 256 << 20
    iiif: bool = True
    mirador: bool = True
    openseadragon: bool = True
    powers_of_two: bool = False
    access_file: Path | None = None
    allow_anonymous: bool = False
    user_header: str | None = None
    trusted_proxies: tuple[str, ...] = ()
    cors_origins: tuple[str, ...] = ()
    jobs_file: Path | None = None
    jobs_at_once: int = 1
    waiting_jobs: int = 100
    largest_upload: int = 64 << 30
    keep_free: int = 2 << 30

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise InvalidRequest(f"port {self.port} is outside 0 to 65535")
        if not 1 <= self.jpeg_quality <= 100:
            raise InvalidRequest(f"JPEG quality {self.jpeg_quality} is outside 1 to 100")
        kept = self.decoded_bytes, self.answer_bytes, self.unread_bytes
        if min(self.open_slides, self.decoders, self.max_pixels, *kept) < 1:
            raise InvalidRequest("the numbers of open slides, decoders, pixels and bytes must be at least 1")
        if not 1 <= self.workers <= 256:
            raise InvalidRequest(f"{self.workers} workers: expected 1 to 256")
        if min(self.jobs_at_once, self.waiting_jobs, self.largest_upload) < 1:
            raise InvalidRequest("the numbers of jobs and bytes of an upload must be at least 1")
        if self.keep_free < 0:
            raise InvalidRequest(f"{self.keep_free} bytes to keep free: expected 0 or more")
        if self.public_url is not None:
            url = urlsplit(self.public_url)
            if url.scheme not in ("http", "https") or not url.netloc or url.query or url.fragment:
                raise InvalidRequest(f"public URL {self.public_url!r}: expected something like https://slides.example")
        if self.rights is not None and urlsplit(self.rights).scheme not in ("http", "https"):
            raise InvalidRequest(f"rights {self.rights!r}: expected a URI like those of Creative Commons' licences")
        if self.provider_url is not None and urlsplit(self.provider_url).scheme not in ("http", "https"):
            raise InvalidRequest(
                f"provider URL {self.provider_url!r}: expected something like https://hospital.example"
            )
        for origin in self.cors_origins:
            url = urlsplit(origin)
            if url.scheme not in ("http", "https") or origin != f"{url.scheme}://{url.netloc}" or "*" in origin:
                raise InvalidRequest(f"origin {origin!r}: expected something like https://viewer.example")
