"""`/users` and `/tokens` for administrators, `/view-tokens` for everybody who may read."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

from anyio import to_thread
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.routing import Route

from wsi_dicom.errors import InvalidRequest
from wsi_dicom_server.access.accounts import Token, User
from wsi_dicom_server.access.principal import Scope, principal_of
from wsi_dicom_server.bodies import json_body
from wsi_dicom_server.replies import Reply, document, unkept_document
from wsi_dicom_server.site import site_of
from wsi_dicom_server.slide_pool import stored_series

T = TypeVar("T")
_DAY_S: Final = 86_400
_VIEW_MINUTES: Final = 15
_LONGEST_VIEW_MINUTES: Final = 24 * 60


async def users(request: Request) -> Reply:
    listed = await to_thread.run_sync(site_of(request).access.accounts.users)
    return document(request, [_user(user) for user in listed])


async def add_user(request: Request) -> Reply:
    """`{"Name": ..., "Password": ..., "Scope": "read"}`."""
    body = await json_body(request)
    name, password = _text(body, "Name"), _text(body, "Password")
    scope = Scope.named(_text(body, "Scope", "read"))
    await _change(request, lambda: site_of(request).access.accounts.add_user(name, password, scope))
    return _created({"Name": name, "Scope": scope.word})


async def set_password(request: Request) -> Reply:
    """`{"Password": ...}`; ends the user's sessions."""
    name, password = request.path_params["name"], _text(await json_body(request), "Password")
    await _change(request, lambda: site_of(request).access.accounts.set_password(name, password))
    return Reply(204, [])


async def remove_user(request: Request) -> Reply:
    await _change(request, lambda: site_of(request).access.accounts.remove_user(request.path_params["name"]))
    return Reply(204, [])


async def tokens(request: Request) -> Reply:
    """Their names; the tokens themselves nobody knows but their holders."""
    listed = await to_thread.run_sync(site_of(request).access.accounts.tokens)
    return document(request, [_token(token) for token in listed])


async def create_token(request: Request) -> Reply:
    """`{"Name": ..., "Scope": "read", "Days": 90}`; no `Days`: until it is revoked. The answer shows it this once."""
    body = await json_body(request)
    name, scope = _text(body, "Name"), Scope.named(_text(body, "Scope", "read"))
    days = _number(body, "Days", None, 36_500)
    accounts = site_of(request).access.accounts
    secret = await _change(
        request, lambda: accounts.create_token(name, scope, days * _DAY_S if days is not None else None)
    )
    return _created({"Name": name, "Scope": scope.word, "Token": secret})


async def revoke_token(request: Request) -> Reply:
    await _change(request, lambda: site_of(request).access.accounts.revoke_token(request.path_params["name"]))
    return Reply(204, [])


async def create_view_token(request: Request) -> Reply:
    """`{"Series": ..., "Minutes": 15}`: a token for `?token=` that shows this series to whoever has the address."""
    if not principal_of(request).identified:
        raise HTTPException(403, "view tokens are handed out to users and holders of tokens")
    body = await json_body(request)
    series = _text(body, "Series")
    minutes = _number(body, "Minutes", _VIEW_MINUTES, _LONGEST_VIEW_MINUTES) or _VIEW_MINUTES
    site = site_of(request)
    record = await to_thread.run_sync(stored_series, site.store, series)
    signer = await site.access.authentication.view_tokens()
    token = signer.create((record.series_uid, record.orthanc_id), minutes * 60)
    address = f"{site.base_url(request)}/viewer/{record.series_uid}?token={token}"
    return _created({"Token": token, "Minutes": minutes, "Viewer": address})


async def _change(request: Request, change: Callable[[], T]) -> T:
    """Takes effect here at once; in other processes over this store within seconds."""
    result = await to_thread.run_sync(change)
    site_of(request).access.authentication.forget()
    return result


def _created(content: dict[str, Any]) -> Reply:
    return unkept_document(201, content)


def _user(user: User) -> dict[str, Any]:
    return {"Name": user.name, "Scope": user.scope.word, "Created": _time(user.created)}


def _token(token: Token) -> dict[str, Any]:
    return {
        "Name": token.name,
        "Scope": token.scope.word,
        "Created": _time(token.created),
        "Expires": _time(token.expires) if token.expires is not None else None,
    }


def _time(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def _text(body: dict[str, Any], name: str, otherwise: str | None = None) -> str:
    value = body.get(name, otherwise)
    if not isinstance(value, str):
        raise InvalidRequest(f"{name}: expected a text")
    return value


def _number(body: dict[str, Any], name: str, otherwise: int | None, most: int) -> int | None:
    value = body.get(name, otherwise)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
        raise InvalidRequest(f"{name}: expected a number from 1 to {most}")
    return value


routes = [
    Route("/view-tokens", create_view_token, methods=["POST"]),
    Route("/users", users),
    Route("/users", add_user, methods=["POST"]),
    Route("/users/{name}", set_password, methods=["PUT"]),
    Route("/users/{name}", remove_user, methods=["DELETE"]),
    Route("/tokens", tokens),
    Route("/tokens", create_token, methods=["POST"]),
    Route("/tokens/{name}", revoke_token, methods=["DELETE"]),
]
