"""Signed requests to a Cytomine server.

Each request carries `Authorization: CYTOMINE public:signature`. The signature is the HMAC-SHA1, in base64, of the lines
method, content MD5 (empty), content type, date and, on servers before 2026, path.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import logging
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from wsi_dicom.errors import CorruptInput, InvalidRequest, NotFound, StoreError

if TYPE_CHECKING:
    import httpx

logger = logging.getLogger(__name__)

CONNECTIONS: Final = 8
"""Windows that are fetched at a time: a server makes each of them anew, and has other users."""

_CONTENT_TYPE: Final = "application/json"
_SECONDS: Final = 60.0
_TRY_AGAIN: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
_LONGEST_WAIT_S: Final = 20.0


class WindowFormat(StrEnum):
    """What the server compresses windows with; it makes them anew, whatever the image is stored as."""

    JPEG = "jpeg"
    PNG = "png"

    @property
    def suffix(self) -> str:
        return "jpg" if self is WindowFormat.JPEG else "png"


@dataclass(frozen=True, slots=True)
class CytomineImage:
    """An image of a Cytomine server, and who asks for it.

    `url` is the server's, `image_id` the number of an image instance. `attempts`: how often a request is sent before a
    server that does not answer, or answers that it cannot, is given up.
    """

    url: str
    image_id: str
    public_key: str = field(repr=False)
    private_key: str = field(repr=False)
    compression: WindowFormat = WindowFormat.JPEG
    attempts: int = 6

    def __post_init__(self) -> None:
        """Raises InvalidRequest."""
        if not (self.image_id.isascii() and self.image_id.isdigit()):
            raise InvalidRequest(f"{self.image_id!r} is no Cytomine image: give the number of an image instance")
        for key in (self.public_key, self.private_key):
            if not key or not (key.isascii() and key.isprintable()):
                raise InvalidRequest("the keys of a Cytomine account are printable ASCII, and not empty")


def signature(private_key: str, path: str, content_type: str, date: str, *, with_path: bool) -> str:
    """Of a GET request for `path`, which begins with a slash; `date` is that of the Date header."""
    lines = ["GET", "", content_type, date, *([path] if with_path else [])]
    return base64.b64encode(hmac.digest(private_key.encode(), "\n".join(lines).encode(), hashlib.sha1)).decode()


class _NoAnswer(Exception):
    """The server may answer when asked again."""


class CytomineServer:
    """Fetches what lies under `/api` of a server. Safe to use from many threads.

    TLS certificates are verified. No redirect is followed: the signature is for the server that the user named.
    """

    def __init__(self, image: CytomineImage) -> None:
        """Raises InvalidRequest for an unusable URL."""
        import httpx

        try:
            url = httpx.URL(image.url)
        except httpx.InvalidURL as error:
            raise InvalidRequest(f"{image.url!r} is no URL of a Cytomine server: {error}") from error
        if url.scheme not in ("http", "https") or not url.host or url.userinfo or url.query or url.fragment:
            raise InvalidRequest(
                "the URL of a Cytomine server is http://... or https://... without user name, query and fragment"
            )
        self.name = f"{url.scheme}://{url.netloc.decode()}{url.path.rstrip('/')}"
        self._image = image
        self._signs_path, self._closing = True, threading.Event()
        self._client = httpx.Client(
            base_url=self.name,
            timeout=_SECONDS,
            follow_redirects=False,
            limits=httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS),
            headers={"Accept-Encoding": "identity", "Content-Type": _CONTENT_TYPE},
        )

    def get(self, path: str, largest: int) -> bytes:
        """The body of a resource, of at most `largest` bytes.

        Raises NotFound, StoreError (no access, no answer), CorruptInput (too large).
        """
        from tenacity import (
            Retrying,
            retry_if_exception_type,
            sleep_using_event,
            stop_after_attempt,
            stop_when_event_set,
            wait_random_exponential,
        )

        retrying = Retrying(
            stop=stop_after_attempt(self._image.attempts) | stop_when_event_set(self._closing),
            sleep=sleep_using_event(self._closing),
            wait=wait_random_exponential(multiplier=0.5, max=_LONGEST_WAIT_S),
            retry=retry_if_exception_type(_NoAnswer),
            reraise=True,
        )
        try:
            return retrying(self._signed, path, largest)
        except _NoAnswer as error:
            raise StoreError(
                f"{self.name}{path}: no answer after {self._image.attempts} attempts: {error}; try again later"
            ) from error

    def close(self) -> None:
        """Also ends what other threads wait for: no request is sent again."""
        self._closing.set()
        self._client.close()

    def _signed(self, path: str, largest: int) -> bytes:
        """With the form of signature that worked last; on refusal with the other one, which is then remembered."""
        signs_path = self._signs_path
        body = self._fetch(path, largest, signs_path)
        if body is None:
            body = self._fetch(path, largest, not signs_path)
            if body is None:
                raise StoreError(f"{self.name} refuses the keys (401): check both of them, and this computer's clock")
            self._signs_path = not signs_path
        return body

    def _fetch(self, path: str, largest: int, signs_path: bool) -> bytes | None:
        """None when the server does not accept the signature."""
        import httpx

        date = format_datetime(datetime.now(UTC))
        signed = signature(self._image.private_key, path, _CONTENT_TYPE, date, with_path=signs_path)
        headers = {"Date": date, "Authorization": f"CYTOMINE {self._image.public_key}:{signed}"}
        try:
            with self._client.stream("GET", path, headers=headers) as response:
                if response.status_code == httpx.codes.UNAUTHORIZED:
                    return None
                self._check(response, path)
                return self._body(response, path, largest)
        except httpx.RequestError as error:
            raise _NoAnswer(str(error) or type(error).__name__) from error
        except RuntimeError as error:  # how httpx refuses what is asked after `close`
            if not self._closing.is_set():
                raise
            raise StoreError(f"{self.name}{path}: the connection was closed meanwhile") from error

    def _check(self, response: httpx.Response, path: str) -> None:
        status = response.status_code
        if status == 200:
            return
        if status in _TRY_AGAIN:
            raise _NoAnswer(f"HTTP status {status}")
        if status == 404:
            raise NotFound(f"{self.name} has no image {self._image.image_id}, or not for this account (404 for {path})")
        if status == 403:
            raise StoreError(f"{self.name} does not let this account see image {self._image.image_id} (403)")
        if response.is_redirect:
            location = response.headers.get("Location", "")
            raise StoreError(f"{self.name}{path} has moved to {location!r} ({status}): give that server's URL")
        raise StoreError(f"{self.name}{path}: unexpected HTTP status {status}")

    def _body(self, response: httpx.Response, path: str, largest: int) -> bytes:
        body = bytearray()
        for chunk in response.iter_bytes():
            body += chunk
            if len(body) > largest:
                raise CorruptInput(f"{self.name}{path}: an answer of more than {largest} bytes")
        return bytes(body)
