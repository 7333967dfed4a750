"""JSON-LD, which is what IIIF speaks, for those who know it, and plain JSON for others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from starlette.exceptions import HTTPException
from starlette.requests import Request

from wsi_dicom_server.negotiation import preferred
from wsi_dicom_server.replies import Reply, document, header

JSON: Final = "application/json"
JSON_LD: Final = "application/ld+json"


def linked_data(
    request: Request, content: Any, context: str, links: Sequence[str] = (), *, latest: bool = True
) -> Reply:
    """`context` is the address of the JSON-LD context; `links` are web links. Who does not care gets JSON-LD from the
    latest version of an API, and plain JSON from an earlier one, as these have it.

    Raises HTTPException (406) where neither is acceptable.
    """
    media_type = preferred(header(request, b"accept"), (JSON_LD, JSON) if latest else (JSON, JSON_LD))
    if media_type is None:
        raise HTTPException(406, f"this can be sent as {JSON_LD} or {JSON}")
    more = []
    if media_type == JSON_LD and latest:
        media_type = f'{JSON_LD};profile="{context}"'
    elif media_type == JSON and not latest:
        more.append(f'<{context}>;rel="http://www.w3.org/ns/json-ld#context";type="{JSON_LD}"')
    return document(request, content, media_type, [*links, *more])
