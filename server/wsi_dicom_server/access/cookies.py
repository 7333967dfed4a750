"""The cookies we set: never readable by scripts, never sent along by other sites."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

SESSION_COOKIE: Final = "wsi_session"
VIEW_COOKIE: Final = "wsi_view"
LOGIN_COOKIE: Final = "wsi_login"


def set_cookie(name: str, value: str, base_url: str, max_age_s: int | None = None) -> tuple[bytes, bytes]:
    """The header that does. `base_url` is this server as the browser knows it; 0 seconds take the cookie away.

    Lax, not Strict: a link to a slide in a laboratory's system has to open it. Without an age it goes
    with the browser.
    """
    url = urlsplit(base_url)
    parts = [f"{name}={value}", f"Path={url.path or '/'}", "HttpOnly", "SameSite=Lax"]
    if url.scheme == "https":
        parts.append("Secure")
    if max_age_s is not None:
        parts.append(f"Max-Age={max_age_s}")
    return b"set-cookie", "; ".join(parts).encode()
