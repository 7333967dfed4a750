"""The one table from errors to statuses, and the body of an error in Orthanc's form."""

from __future__ import annotations

import json
import logging
from http import HTTPStatus
from typing import Final

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
from wsi_dicom_server.middleware import allowed_methods
from wsi_dicom_server.negotiation import preferred
from wsi_dicom_server.replies import ANY_ORIGIN, BY_ACCEPT, Reply, header

logger = logging.getLogger(__name__)

STATUSES: Final[dict[type[WsiError], int]] = {
    InvalidRequest: 400,
    NotFound: 404,
    OutOfBounds: 404,
    UnsupportedFormat: 404,  # it is there, but nothing that can be shown
    CorruptInput: 500,
    CodecError: 500,
    StoreError: 503,
}

# Orthanc's own numbers and names of what went wrong, for clients that read them.
_ORTHANC: Final = {
    400: (8, "Bad request"),
    401: (29, "Bad credentials were provided to an HTTP request"),
    403: (29, "Bad credentials were provided to an HTTP request"),
    404: (17, "Unknown resource"),
    405: (8, "Bad request"),
    406: (34, "Cannot send a response which is acceptable according to the Accept HTTP header"),
    503: (36, "The database is currently not available (probably a transient situation)"),
    507: (19, "The file storage is full"),
}
_NO_PICTURE: Final = "nothing here can be shown; the server's log has the details"
_UNREADABLE: Final = "this series cannot be read; the server's log has the details"
_INTERNAL: Final = (-1, "Internal error")


async def wsi_error(request: Request, error: Exception) -> Reply:
    """Errors of the store and its files go to the log: their messages name paths that are not the client's business."""
    status = next((STATUSES[kind] for kind in type(error).__mro__ if kind in STATUSES), 500)
    if isinstance(error, InvalidRequest | NotFound | OutOfBounds):
        return error_reply(request, status, str(error))
    logger.error("%s %s: %s", request.method, request.url.path, error)
    return error_reply(request, status, _NO_PICTURE if status == 404 else _UNREADABLE)


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
    return error_reply(request, 500, "internal error; the server's log has the details")


def error_reply(request: Request, status: int, message: str) -> Reply:
    """A page for browsers that navigate, else JSON."""
    reason = HTTPStatus(status).phrase
    headers = [ANY_ORIGIN, BY_ACCEPT, (b"cache-control", b"no-store")]
    offers = ("application/json", "text/html")
    if preferred(header(request, b"accept"), offers) == "text/html":
        body = markup.error_page(_home(request), status, reason.capitalize(), message).encode()
        return Reply(status, [(b"content-type", b"text/html; charset=utf-8"), *markup.SECURITY, *headers], body)
    orthanc_status, orthanc_error = _ORTHANC.get(status, _INTERNAL)
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
