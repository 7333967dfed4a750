"""`/openapi.json`: all routes, as OpenAPI 3.1 describes them. The routes are looked up; their words are here."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

from starlette.requests import Request
from starlette.routing import BaseRoute, Mount, Route

from wsi_dicom import __version__
from wsi_dicom_server.access.rules import needed_scope
from wsi_dicom_server.addresses import home_url
from wsi_dicom_server.replies import Reply, document

_IMAGES: Final = ("/iiif/tiles/{image}", "/iiif/frames/{id}/{n}", "/iiif/frames-pyramids/{id}/{n}")

SUMMARIES: Final = {
    "GET /": "The archive, a page",
    "GET /associated/{series}/thumbnail": "Thumbnail of a series",
    "GET /associated/{series}/{flavor}": "Label or overview of a slide",
    "GET /favicon.ico": "Icon",
    "GET /favicon.svg": "Icon",
    "GET /frames-pyramids/{id}/{n}": "Levels of a frame of any image",
    "GET /frames-tiles/{id}/{n}/{z}/{x}/{y}": "A tile of a frame of any image",
    "GET /iiif/collection.json": "IIIF collection of the archive",
    "GET /iiif/frames-pyramids/{id}/{n}/manifest.json": "IIIF manifest of a frame of any image",
    "GET /iiif/patients/{patient}/collection.json": "IIIF collection of a patient's studies",
    "GET /iiif/series/{series}/dicom.json": "Attributes of all instances, in the DICOM JSON Model",
    "GET /iiif/series/{series}/dicom.zip": "The DICOM files",
    "GET /iiif/series/{series}/manifest.json": "IIIF manifest of a series",
    "GET /iiif/series/{series}/slide.tif": "The slide as a pyramidal TIFF",
    "GET /iiif/studies/{study}/collection.json": "IIIF collection of a study's series",
    "GET /jobs": "Identifiers of the jobs, newest first",
    "GET /jobs/{id}": "A job",
    "DELETE /jobs/{id}": "Cancels a job, or forgets one that has ended",
    "GET /login": "The page that asks for name and password",
    "POST /login": "Begins a session",
    "POST /logout": "Ends the session",
    "GET /mirador/{series}": "Manifests in Mirador, a page",
    "GET /openapi.json": "This description",
    "GET /openseadragon/{series}": "The image in OpenSeadragon, a page",
    "GET /pyramids/{series}": "Levels of a slide, the finest first",
    "GET /static/{path}": "Files of our pages",
    "GET /tiles/{series}/{z}/{x}/{y}": "A stored tile; z = 0 is the finest level",
    "GET /tokens": "Tokens by name",
    "POST /tokens": "Makes a token, which is told this once",
    "DELETE /tokens/{name}": "Revokes a token",
    "POST /uploads": "Takes in slides and DICOM files: they become a job",
    "GET /users": "The users",
    "POST /users": "Makes a user",
    "PUT /users/{name}": "Changes a password",
    "DELETE /users/{name}": "Removes a user",
    "POST /view-tokens": "Makes a token that shows one series for a while",
    "GET /viewer/{series}": "The viewer, a page",
    "GET /app/mirador.html": "Where Orthanc has its page with Mirador; leads to ours",
    "GET /app/openseadragon.html": "Where Orthanc has its page with OpenSeadragon; leads to ours",
    "GET /app/viewer.html": "Where Orthanc has its viewer; leads to ours",
    **{f"GET {image}": "Leads to the image's info.json" for image in _IMAGES},
    **{f"GET {image}/info.json": "Information on an image (IIIF Image API)" for image in _IMAGES},
    **{
        f"GET {image}/{{region}}/{{size}}/{{rotation}}/{{quality}}.{{format}}": "A picture (IIIF Image API)"
        for image in _IMAGES
    },
}
"""By method and path; what also is below `/wsi`, and as version 2.1 below `/iiif/2`, is the same there."""

_INTEGER: Final = {"type": "integer", "minimum": 0}
_TEXT: Final = {"type": "string"}

PATH_PARAMETERS: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "flavor": ("", {"enum": ["label", "overview"]}),
    "format": ("", {"enum": ["jpg", "png", "webp", "tif", "gif", "jp2", "avif", "jxl", "pdf"]}),
    "id": ("SOPInstanceUID, SeriesInstanceUID or Orthanc identifier; of jobs their own", _TEXT),
    "image": ("A series, or `{series}:` and what of it is meant: `2.1`, `label`, `channels`", _TEXT),
    "n": ("A frame, counted from 0", _INTEGER),
    "name": ("Of a user or token", _TEXT),
    "path": ("Of a file", _TEXT),
    "patient": ("Orthanc identifier", _TEXT),
    "quality": ("", {"enum": ["default", "color", "gray", "bitonal"]}),
    "region": ("`full`, `square`, `x,y,w,h` or `pct:x,y,w,h`", _TEXT),
    "rotation": ("Degrees, with `!` in front mirrored", _TEXT),
    "series": ("Whole SeriesInstanceUID or Orthanc identifier", _TEXT),
    "size": ("`max`, `w,`, `,h`, `w,h`, `!w,h` or `pct:n`, with `^` in front to enlarge", _TEXT),
    "study": ("Orthanc identifier", _TEXT),
    "x": ("A column of tiles", _INTEGER),
    "y": ("A row of tiles", _INTEGER),
    "z": ("A level, 0 is the finest", _INTEGER),
}

QUERIES: Final[dict[str, tuple[str, ...]]] = {
    "GET /": ("q", "specimen", "stain", "scanner", "patient", "from", "to", "sort", "beside", "page"),
    "GET /app/mirador.html": ("series", "iiif-content"),
    "GET /app/openseadragon.html": ("series", "image"),
    "GET /app/viewer.html": ("series", "instance", "frame"),
    "GET /iiif/collection.json": ("page",),
    "GET /iiif/patients/{patient}/collection.json": ("page",),
    "GET /iiif/studies/{study}/collection.json": ("page",),
    "GET /jobs": ("expand",),
    "GET /login": ("next",),
    "GET /mirador/{series}": ("with", "frame"),
    "GET /openseadragon/{series}": ("frame",),
    "GET /viewer/{series}": ("with", "frame"),
    "POST /uploads": ("name", "pyramid", "compression"),
    "GET /frames-pyramids/{id}/{n}": ("window",),
    "GET /frames-tiles/{id}/{n}/{z}/{x}/{y}": ("window",),
    **{operation: ("channels",) for operation in SUMMARIES if operation.startswith(f"GET {_IMAGES[0]}")},
    **{
        operation: ("window",)
        for image in _IMAGES[1:]
        for operation in SUMMARIES
        if operation.startswith(f"GET {image}") and not operation.endswith("/manifest.json")
    },
}


def _json(*required: str, **optional: str) -> dict[str, Any]:
    """A body: texts that it must have, and what it may."""
    properties = {name: {"type": kind} for name, kind in (dict.fromkeys(required, "string") | optional).items()}
    return {"application/json": {"schema": {"type": "object", "properties": properties, "required": list(required)}}}


BODIES: Final[dict[str, dict[str, Any]]] = {
    "POST /login": {"application/x-www-form-urlencoded": {}},
    "POST /tokens": _json("Name", Scope="string", Days="integer"),
    "POST /uploads": {"multipart/form-data": {}, "application/octet-stream": {}},
    "POST /users": _json("Name", "Password", Scope="string"),
    "POST /view-tokens": _json("Series", Minutes="integer"),
    "PUT /users/{name}": _json("Password"),
}

_WORDS: Final = {
    "200": "Done",
    "201": "Made",
    "202": "Begun, or told to end",
    "204": "Done",
    "303": "Leads elsewhere: browsers that have to sign in, to the page for that",
    "304": "As the client has it",
}
_SUCCESS: Final[dict[str, tuple[str, ...]]] = {
    "DELETE /jobs/{id}": ("202", "204"),
    "GET /login": ("200",),
    "POST /login": ("303",),
    "POST /logout": ("303",),
    "POST /tokens": ("201",),
    "POST /uploads": ("202",),
    "POST /users": ("201",),
    "POST /view-tokens": ("201",),
    **{f"GET {image}": ("303",) for image in _IMAGES},
    **{f"GET /app/{page}.html": ("303",) for page in ("mirador", "openseadragon", "viewer")},
}
_USUAL: Final = {"GET": ("200", "303", "304"), "PUT": ("204",), "DELETE": ("204",)}
_ERROR: Final = {
    "type": "object",
    "properties": {
        "HttpStatus": {"type": "integer"},
        "HttpError": {"type": "string"},
        "Message": {"type": "string"},
        "Method": {"type": "string"},
        "OrthancError": {"type": "string"},
        "OrthancStatus": {"type": "integer"},
        "Uri": {"type": "string"},
    },
    "required": ["HttpStatus", "HttpError", "Message"],
}
_KNOWN: Final[list[dict[str, list[str]]]] = [{"bearer": []}, {"basic": []}, {"session": []}, {}]


async def openapi(request: Request) -> Reply:
    return document(request, description(request.app.routes, home_url(request)))


def description(routes: Iterable[BaseRoute], address: str) -> dict[str, Any]:
    """Of an application with these routes at this address. Raises KeyError for what nobody has found words for."""
    paths: dict[str, dict[str, Any]] = {}
    for path, route in sorted(_plain_routes(routes), key=lambda found: found[0]):
        shown = path.replace(":path}", "}")
        for method in sorted((route.methods or {"GET"}) - {"HEAD"}):
            paths.setdefault(shown, {})[method.lower()] = _operation(method, shown)
    return {
        "openapi": "3.1.0",
        "info": {"title": "wsi-dicom", "version": __version__, "license": {"name": "MIT", "identifier": "MIT"}},
        "servers": [{"url": address}],
        "paths": paths,
        "components": {
            "schemas": {"Error": _ERROR},
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "basic": {"type": "http", "scheme": "basic"},
                "session": {"type": "apiKey", "in": "cookie", "name": "wsi_session"},
            },
        },
    }


def _plain_routes(routes: Iterable[BaseRoute], prefix: str = "") -> Iterator[tuple[str, Route]]:
    for route in routes:
        if isinstance(route, Mount):
            yield from _plain_routes(route.routes, prefix + route.path)
        elif isinstance(route, Route):
            yield prefix + route.path, route


def _operation(method: str, path: str) -> dict[str, Any]:
    key = f"{method} {path.removeprefix('/wsi').replace('/iiif/2/', '/iiif/')}"
    scope = needed_scope(method, path)
    told: dict[str, Any] = {
        "summary": SUMMARIES[key],
        "description": "Open to everybody." if scope is None else f"Scope: {scope.word}.",
        "parameters": [
            *(_path_parameter(name) for name in re.findall(r"\{(\w+)\}", path)),
            *({"name": name, "in": "query", "schema": _TEXT} for name in QUERIES.get(key, ())),
        ],
        "responses": {
            **{status: {"description": _WORDS[status]} for status in _SUCCESS.get(key) or _USUAL[method]},
            "4XX": _failure("Refused, with the reason"),
            "5XX": _failure("A failure of the server or of a file, or too much at once"),
        },
        "security": [] if scope is None else _KNOWN,
    }
    if content := BODIES.get(key):
        told["requestBody"] = {"content": content}
    return told


def _failure(words: str) -> dict[str, Any]:
    return {
        "description": words,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
    }


def _path_parameter(name: str) -> dict[str, Any]:
    words, schema = PATH_PARAMETERS[name]
    told = {"name": name, "in": "path", "required": True, "schema": schema}
    return told | ({"description": words} if words else {})


routes = [Route("/openapi.json", openapi)]
