"""Bodies of requests that are small, whatever the client says."""

from __future__ import annotations

import json
from typing import Any, Final
from urllib.parse import parse_qsl

from anyio import fail_after
from starlette.exceptions import HTTPException
from starlette.requests import Request

from wsi_dicom.errors import InvalidRequest

_LARGEST: Final = 16_384
_BODY_S: Final = 30.0


async def small_body(request: Request) -> bytes:
    """Answers 413 above 16 kB, and 408 to who does not send it within half a minute."""
    body = bytearray()
    try:
        with fail_after(_BODY_S):
            async for piece in request.stream():
                body += piece
                if len(body) > _LARGEST:
                    raise HTTPException(413, f"this request may have {_LARGEST} bytes")
    except TimeoutError:
        late = f"the body of this request did not come within {_BODY_S:.0f} seconds"
        raise HTTPException(408, late, {"Connection": "close"}) from None
    return bytes(body)


async def form_body(request: Request) -> dict[str, str]:
    """The fields of an HTML form without files. Raises InvalidRequest."""
    try:
        return dict(parse_qsl((await small_body(request)).decode(), keep_blank_values=True, max_num_fields=50))
    except ValueError:
        raise InvalidRequest("the body is not a form") from None


async def json_body(request: Request) -> dict[str, Any]:
    """A JSON object. Raises InvalidRequest."""
    try:
        content = json.loads(await small_body(request))
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise InvalidRequest("the body is not a JSON object")
    return content
