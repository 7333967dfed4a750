"""What every request passes before it reaches a route."""

from __future__ import annotations

import math
from collections.abc import Collection
from functools import lru_cache
from urllib.parse import quote, urlencode

from anyio import to_thread
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Send
from starlette.types import Scope as AsgiScope

from wsi_dicom.errors import WsiError
from wsi_dicom_server.access.authentication import Refused
from wsi_dicom_server.access.cookies import VIEW_COOKIE, set_cookie
from wsi_dicom_server.access.principal import NOBODY, SCOPE_KEY, Principal, Scope
from wsi_dicom_server.access.rules import SAFE_METHODS, is_for_our_pages, is_from_elsewhere, needed_scope, viewed
from wsi_dicom_server.addresses import own_path, see_other
from wsi_dicom_server.errors import error_reply, wsi_error
from wsi_dicom_server.negotiation import preferred
from wsi_dicom_server.replies import ANY_ORIGIN, Headers, Reply, header
from wsi_dicom_server.site import Site, site_of


class AccessControl:
    """Finds out whose the request is, and lets it through if it may: pure ASGI.

    What only some may see is marked `private`, so that shared caches keep none of it, and what is for our own pages is
    open to no other origin; else nothing wraps `send`.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if is_for_our_pages(own_path(scope)):
            send = _to_our_pages(send)
        try:
            principal = await _admitted(scope)
        except WsiError as error:
            principal = await wsi_error(Request(scope), error)
        if isinstance(principal, Reply):
            await principal(scope, receive, send)
            return
        scope[SCOPE_KEY] = principal
        await self.app(scope, receive, send if principal is None or principal.anonymous else _privately(send))


async def _admitted(scope: AsgiScope) -> Principal | Reply | None:
    """Whose the request is, or why it goes no further; None where it makes no difference. Every tile passes here.

    Raises InvalidRequest, StoreError.
    """
    site: Site = scope["app"].site
    method, path, query = scope["method"], own_path(scope), scope["query_string"]
    needed = needed_scope(method, path)
    if method not in SAFE_METHODS or needed not in (None, Scope.READ):
        verified = needed is not None and site.access.goes_by_bearer(scope)  # below
        if not verified and is_from_elsewhere(scope, site.settings.public_url):
            return error_reply(Request(scope), 403, "another site may not do this here")
    if needed is None:
        return NOBODY
    if needed is Scope.READ and not site.access.asks_who():
        return None
    try:
        principal = await site.access.principal(scope)
    except Refused as refused:
        return _challenge(Request(scope), refused)
    if not principal.may(needed):
        if principal.anonymous:
            return _challenge(Request(scope), Refused("say who you are"))
        return error_reply(Request(scope), 403, f"this needs the scope {needed.word}")
    if principal.series is not None and not await _shows(site, principal.series, viewed(method, path, query)):
        return error_reply(Request(scope), 403, "this view token is for another series")
    if b"token=" in query and _is_page(request := Request(scope)) and "token" in request.query_params:
        return _into_cookie(request)
    return principal


async def _shows(site: Site, series: Collection[str], identifier: str | None) -> bool:
    """Whether it names the series of a view token, whose identifiers are `series`, or an instance of it."""
    if identifier is None or identifier in series:
        return identifier is not None
    instance = await to_thread.run_sync(site.store.find_instance, identifier)
    return instance is not None and instance.series_uid in series


def _challenge(request: Request, refused: Refused) -> Reply:
    """The login page for who follows a link in a browser, else 401, or 429 when there were too many attempts."""
    if refused.wait_s is not None:
        reply = error_reply(request, 429, str(refused))
        reply.raw_headers.append((b"retry-after", b"%d" % math.ceil(refused.wait_s)))
        return reply
    if _is_page(request):
        return see_other(request, f"/login?{urlencode({'next': _address_without_token(request)})}")
    reply = error_reply(request, 401, str(refused))
    reply.raw_headers.append((b"www-authenticate", b'Bearer realm="wsi-dicom"'))
    if not header(request, b"sec-fetch-mode"):  # a browser would ask for a password over our pages
        reply.raw_headers.append((b"www-authenticate", b'Basic realm="wsi-dicom", charset="UTF-8"'))
    return reply


def _into_cookie(request: Request) -> Reply:
    """To the same page, without the token in its address, from where it would get into histories and logs."""
    token = request.query_params["token"]
    cookie = set_cookie(VIEW_COOKIE, quote(token, safe=""), site_of(request).base_url(request))
    return see_other(request, _address_without_token(request), cookie)


def _address_without_token(request: Request) -> str:
    query = urlencode([(name, value) for name, value in request.query_params.multi_items() if name != "token"])
    return own_path(request.scope) + (f"?{query}" if query else "")


def _is_page(request: Request) -> bool:
    if request.method != "GET":
        return False
    return preferred(header(request, b"accept"), ("application/json", "image/*", "text/html")) == "text/html"


def private_headers(headers: Headers) -> Headers:
    """Of an answer that only some may see, so that shared caches keep none of it."""
    return [(name, _private(value) if name == b"cache-control" else value) for name, value in headers]


def _to_our_pages(send: Send) -> Send:
    async def send_to_our_pages(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [pair for pair in message["headers"] if pair != ANY_ORIGIN]
        await send(message)

    return send_to_our_pages


def _privately(send: Send) -> Send:
    async def send_private(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = private_headers(message["headers"])
        await send(message)

    return send_private


@lru_cache(maxsize=64)
def _private(cache_control: bytes) -> bytes:
    if cache_control.startswith(b"public"):
        return b"private" + cache_control.removeprefix(b"public")
    return cache_control if b"no-store" in cache_control else b"private, " + cache_control
