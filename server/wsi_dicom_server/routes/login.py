"""`/login` and `/logout`: a session for who has a password, kept in a cookie."""

from __future__ import annotations

import hmac
import math
import re
import secrets
from html import escape
from typing import Final

from anyio import to_thread
from starlette.requests import Request
from starlette.routing import Route

from wsi_dicom_server import markup
from wsi_dicom_server.access.accounts import digest_of
from wsi_dicom_server.access.authentication import Refused
from wsi_dicom_server.access.cookies import LOGIN_COOKIE, SESSION_COOKIE, VIEW_COOKIE, set_cookie
from wsi_dicom_server.addresses import home_url, see_other
from wsi_dicom_server.bodies import form_body
from wsi_dicom_server.peers import client_of
from wsi_dicom_server.replies import Reply
from wsi_dicom_server.site import site_of

_FORM_VALUE: Final = re.compile(r"[A-Za-z0-9_-]{22}", re.ASCII)
_SESSION_S: Final = 12 * 3600


async def login_page(request: Request) -> Reply:
    return _form(request, 200, request.query_params.get("next", "/"))


async def login(request: Request) -> Reply:
    """The form carries the value of a cookie that only our own page could have set: no other site can sign one in."""
    site, form = site_of(request), await form_body(request)
    target = form.get("next", "/")
    known, told = request.cookies.get(LOGIN_COOKIE, ""), form.get("form", "")
    if not known or not hmac.compare_digest(known.encode(), told.encode()):
        return _form(request, 403, target, "This page was open for too long, or cookies are off. Please try again.")
    name = form.get("name", "")
    try:
        await site.access.authentication.verify_password(name, form.get("password", ""), client_of(request.scope))
    except Refused as refused:
        if refused.wait_s is None:
            return _form(request, 401, target, "Wrong name or password.")
        reply = _form(request, 429, target, f"Too many attempts. Please wait {_minutes(refused.wait_s)}.")
        reply.raw_headers.append((b"retry-after", b"%d" % math.ceil(refused.wait_s)))
        return reply
    secret = await to_thread.run_sync(site.access.accounts.begin_session, name, _SESSION_S)
    base = home_url(request)
    cookies = (
        set_cookie(SESSION_COOKIE, secret, base, _SESSION_S),
        set_cookie(LOGIN_COOKIE, "", base, 0),
        set_cookie(VIEW_COOKIE, "", base, 0),
    )
    return see_other(request, target if target.startswith("/") else "/", *cookies)


async def logout(request: Request) -> Reply:
    """Ends the session for good, and empties the browser's cache of what it let see."""
    site, secret = site_of(request), request.cookies.get(SESSION_COOKIE)
    if secret:
        await to_thread.run_sync(site.access.accounts.end_session, digest_of(secret))
        site.access.authentication.forget()
    base = home_url(request)
    cookies = (set_cookie(name, "", base, 0) for name in (SESSION_COOKIE, VIEW_COOKIE))
    return see_other(request, "/login", (b"clear-site-data", b'"cache"'), *cookies)


def _form(request: Request, status: int, target: str, problem: str = "") -> Reply:
    """The form, with the value of its cookie, which forms in several tabs share."""
    known, base = request.cookies.get(LOGIN_COOKIE, ""), home_url(request)
    value = known if _FORM_VALUE.fullmatch(known) else secrets.token_urlsafe(16)
    alert = f'<p class="wrong" role="alert">{escape(problem)}</p>' if problem else ""
    body = f"""<main class="login">
<h1>Sign in</h1>
{alert}<form method="post" action="{base}/login">
<input type="hidden" name="form" value="{value}">
<input type="hidden" name="next" value="{escape(target)}">
<label class="field"><span>Name</span>
<input type="text" name="name" autocomplete="username" autocapitalize="none" spellcheck="false" required
 autofocus></label>
<label class="field"><span>Password</span>
<input type="password" name="password" autocomplete="current-password" required></label>
<button type="submit" class="button main">Sign in</button>
</form>
</main>"""
    headers = [
        (b"content-type", b"text/html; charset=utf-8"),
        (b"cache-control", b"no-store"),
        set_cookie(LOGIN_COOKIE, value, base),
        *markup.SECURITY,
    ]
    return Reply(status, headers, markup.page("Sign in", base, body, styles=("login.css",)).encode())


def _minutes(seconds: float) -> str:
    minutes = math.ceil(seconds / 60)
    return "a minute" if minutes == 1 else f"{minutes} minutes"


routes = [
    Route("/login", login_page),
    Route("/login", login, methods=["POST"]),
    Route("/logout", logout, methods=["POST"]),
]
