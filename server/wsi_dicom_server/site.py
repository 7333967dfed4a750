"""What all routes of one running server share."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from anyio import CapacityLimiter, to_thread
from starlette.requests import ClientDisconnect, Request

from wsi_dicom.errors import InvalidRequest
from wsi_dicom.stores import SeriesStore
from wsi_dicom_server.settings import ServerSettings
from wsi_dicom_server.slide_pool import SlidePool
from wsi_dicom_server.static_files import StaticFile, load_static_files

T = TypeVar("T")
_HOST_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-:[]_")


class Site:
    """Settings, store, open slides, our own files, and the bound on how much is decoded at once."""

    def __init__(self, settings: ServerSettings, store: SeriesStore) -> None:
        self.settings = settings
        self.store = store
        self.slides = SlidePool(store, settings.open_slides)
        self.static: dict[str, StaticFile] = load_static_files()
        self._decoding = CapacityLimiter(settings.decoders)

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
        if not host or not _HOST_CHARACTERS.issuperset(host):
            raise InvalidRequest("the Host header is not a host name")
        return f"{scope['scheme']}://{host}{root}"


def site_of(request: Request) -> Site:
    site: Site = request.scope["app"].site
    return site
