"""The one table from errors to statuses, and the body of an error in Orthanc's form."""

from __future__ import annotations

import json
import logging
from http import HTTPStatus
from typing import Final, NamedTuple

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

from wsi_dicom.errors import (
    CodecError,
    CorruptInput,
    InvalidRequest,
    NotFound,
    OutOfBounds,
    StoreError,
    UnsupportedFormat,
    WsiError,
)
from wsi_dicom_server import markup
from wsi_dicom_server.addresses import home_url
from wsi_dicom_server.jobs import Busy
from wsi_dicom_server.middleware import allowed_methods
from wsi_dicom_server.negotiation import preferred
from wsi_dicom_server.replies import ANY_ORIGIN, BY_ACCEPT, Reply, header

logger = logging.getLogger(__name__)


class _Told(NamedTuple):
    """What clients are told of an error. `words` None: what it says itself, else that goes to the log alone."""

    status: int
    words: str | None = None
    retry_after_s: int | None = None


_DAMAGED: Final = _Told(500, "this series cannot be read; the server's log has the details")
ERRORS: Final[dict[type[WsiError], _Told]] = {
    InvalidRequest: _Told(400),
    NotFound: _Told(404),
    OutOfBounds: _Told(404),
    UnsupportedFormat: _Told(404, "nothing here can be shown; the server's log has the details"),  # it is there
    CorruptInput: _DAMAGED,
    CodecError: _DAMAGED,
    StoreError: _Told(503, "the server cannot use its store now; its log has the details"),
    Busy: _Told(503, retry_after_s=30),
}
_BUG: Final = "internal error; the server's log has the details"

# Orthanc's own numbers and names of what went wrong, for clients that read them.
_ORTHANC: Final = {
    401: (29, "Bad credentials were provided to an HTTP request"),
    403: (29, "Bad credentials were provided to an HTTP request"),
    404: (17, "Unknown resource"),
    406: (34, "Cannot send a response which is acceptable according to the Accept HTTP header"),
    503: (36, "The database is currently not available (probably a transient situation)"),
    507: (19, "The file storage is full"),
}
_BAD_REQUEST: Final = (8, "Bad request")
_INTERNAL: Final = (-1, "Internal error")


async def wsi_error(request: Request, error: Exception) -> Reply:
    """Errors of the store and its files go to the log: their messages name paths that are not the client's business."""
    told = next((ERRORS[kind] for kind in type(error).__mro__ if kind in ERRORS), _Told(500, _BUG))
    if told.words is not None:
        logger.error("%s %s: %s", request.method, request.url.path, error)
    reply = error_reply(request, told.status, told.words or str(error))
    if told.retry_after_s is not None:
        reply.raw_headers.append((b"retry-after", b"%d" % told.retry_after_s))
    return reply


async def http_error(request: Request, error: Exception) -> Reply:
    assert isinstance(error, HTTPException)  # noqa: S101 - what Starlette registers it for; tells the type checker
    reply = error_reply(request, error.status_code, error.detail)
    told = dict(error.headers or {})
    if error.status_code == 405:  # Starlette names the methods of one route alone
        told["Allow"] = allowed_methods(request.scope)
    reply.raw_headers += [(k.lower().encode(), v.encode()) for k, v in told.items()]
    return reply


async def client_gone(request: Request, error: Exception) -> Reply:  # noqa: ARG001 - a handler's signature
    """Nobody reads this; 499 is what logs of other servers call it."""
    return Reply(499, [])


async def bug(request: Request, error: Exception) -> Reply:  # noqa: ARG001 - Starlette logs the traceback itself
    """What no handler foresaw: the details are in the log, not in the answer."""
    return error_reply(request, 500, _BUG)


def error_reply(request: Request, status: int, message: str) -> Reply:
    """A page for browsers that navigate, else JSON."""
    reason = HTTPStatus(status).phrase
    headers = [ANY_ORIGIN, BY_ACCEPT, (b"cache-control", b"no-store")]
    offers = ("application/json", "text/html")
    if preferred(header(request, b"accept"), offers) == "text/html":
        body = markup.error_page(_home(request), status, reason.capitalize(), message).encode()
        return Reply(status, [(b"content-type", b"text/html; charset=utf-8"), *markup.SECURITY, *headers], body)
    orthanc_status, orthanc_error = _ORTHANC.get(status, _BAD_REQUEST if status < 500 else _INTERNAL)
    content = {
        "HttpError": reason,
        "HttpStatus": status,
        "Message": message,
        "Method": request.method,
        "OrthancError": orthanc_error,
        "OrthancStatus": orthanc_status,
        "Uri": request.url.path,
    }
    return Reply(status, [(b"content-type", b"application/json"), *headers], json.dumps(content).encode())


def _home(request: Request) -> str:
    """Where the host is not known either, which is an error of its own, browsers fill it in."""
    try:
        return home_url(request)
    except InvalidRequest:
        return ""


HANDLERS: Final = {
    WsiError: wsi_error,
    HTTPException: http_error,
    ClientDisconnect: client_gone,
    Exception: bug,
}
