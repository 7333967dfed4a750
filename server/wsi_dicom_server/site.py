"""What all routes of one running server share."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from ipaddress import IPv6Address
from typing import Final, TypeVar

from anyio import CapacityLimiter, to_thread
from starlette.requests import ClientDisconnect, Request

from wsi_dicom.decoded_cache import DecodedCache
from wsi_dicom.errors import InvalidRequest
from wsi_dicom.stores import SeriesStore
from wsi_dicom_server.access.policy import Access
from wsi_dicom_server.answers import AnswerCache
from wsi_dicom_server.frame_pool import FramePool
from wsi_dicom_server.job_records import JobRecords
from wsi_dicom_server.jobs import Jobs
from wsi_dicom_server.settings import ServerSettings
from wsi_dicom_server.slide_pool import SlidePool
from wsi_dicom_server.static_files import StaticFile, load_static_files
from wsi_dicom_server.unread import UnreadLimit

T = TypeVar("T")
_DOWNLOADS = 4
_HOST: Final = re.compile(r"(?:[\w-]+(?:\.[\w-]+)*\.?|\[([0-9A-Fa-f:.]+)\])(?::\d{0,5})?", re.ASCII)
"""RFC 3986, 3.2.2 and 3.2.3, as far as hosts of servers have it. The group is the address in brackets."""


class Site:
    """Settings, store, open slides, our own files, and the bounds on how much is done at once.

    `downloads` are of whole series, `exporting` is what converts them first.
    """

    def __init__(self, settings: ServerSettings, store: SeriesStore) -> None:
        self.settings = settings
        self.store = store
        self.slides = SlidePool(store, settings.open_slides)
        self.frames = FramePool(store, settings.open_slides, hide_labels=settings.hide_labels)
        self.answers = AnswerCache(settings.answer_bytes)
        self.unread = UnreadLimit(settings.unread_bytes)
        self.decoded = DecodedCache(settings.decoded_bytes)
        self.access = Access(settings)
        self.jobs = _jobs(settings)
        self.static: dict[str, StaticFile] = load_static_files()
        self.downloads = CapacityLimiter(_DOWNLOADS)
        self.exporting = CapacityLimiter(1)
        self._decoding = CapacityLimiter(settings.decoders)

    @property
    def shows_mirador(self) -> bool:
        """Mirador opens manifests, and nothing else."""
        return self.settings.mirador and self.settings.iiif

    async def decode(self, request: Request, work: Callable[[], T]) -> T:
        """Runs work that decodes or encodes in a thread, unless the client went away while it waited for its turn."""
        async with self._decoding:
            if await request.is_disconnected():
                raise ClientDisconnect
            return await to_thread.run_sync(work)

    def base_url(self, request: Request) -> str:
        """The address that clients know this server by, with the prefix they used (`/wsi` or none); no final slash.

        Raises InvalidRequest when the Host header is no host.
        """
        scope = request.scope
        root: str = scope.get("root_path", "")
        if self.settings.public_url is not None:
            return self.settings.public_url.rstrip("/") + root.removeprefix(scope.get("app_root_path", ""))
        host = request.headers.get("host", "")
        if not _is_host(host):
            raise InvalidRequest("the Host header is not a host name")
        return f"{scope['scheme']}://{host}{root}"


@lru_cache(maxsize=64)
def _is_host(text: str) -> bool:
    """A name or an address of IPv4, or one of IPv6 in brackets; with a port or without."""
    match = _HOST.fullmatch(text)
    try:
        return match is not None and (match[1] is None or bool(IPv6Address(match[1])))
    except ValueError:
        return False


def _jobs(settings: ServerSettings) -> Jobs | None:
    """None where nothing can be uploaded."""
    if settings.jobs_file is None:
        return None
    return Jobs(JobRecords(settings.jobs_file), at_once=settings.jobs_at_once, most=settings.waiting_jobs)


def site_of(request: Request) -> Site:
    site: Site = request.scope["app"].site
    return site
