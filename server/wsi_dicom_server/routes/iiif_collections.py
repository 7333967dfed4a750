"""Collections of IIIF Presentation 3.0: of the archive, of a patient, of a study. `?page=` is a part of a large one."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from anyio import to_thread
from starlette.requests import Request
from starlette.routing import Route

from wsi_dicom.errors import InvalidRequest
from wsi_dicom_server.access.principal import principal_of
from wsi_dicom_server.linked_data import linked_data
from wsi_dicom_server.presentation.collections import Collection, Collections
from wsi_dicom_server.presentation.version_3 import CONTEXT
from wsi_dicom_server.replies import Reply
from wsi_dicom_server.routes.iiif_presentation import addresses_of
from wsi_dicom_server.site import site_of

_PAGE: Final = re.compile(r"[1-9][0-9]{0,8}", re.ASCII)


async def archive(request: Request) -> Reply:
    return await _reply(request, Collections.archive)


async def patient(request: Request) -> Reply:
    identifier = request.path_params["patient"]
    return await _reply(request, lambda collections: collections.patient(identifier))


async def study(request: Request) -> Reply:
    identifier = request.path_params["study"]
    return await _reply(request, lambda collections: collections.study(identifier))


async def _reply(request: Request, made: Callable[[Collections], Collection]) -> Reply:
    site, addresses, naming = site_of(request), addresses_of(request), principal_of(request).identified
    collections = Collections(site.store, addresses, site.settings, naming, _page(request))
    content, links = await to_thread.run_sync(made, collections)
    return linked_data(request, content, CONTEXT, links)


def _page(request: Request) -> int | None:
    number = request.query_params.get("page")
    if number is None:
        return None
    if not _PAGE.fullmatch(number):
        raise InvalidRequest(f"page {number[:20]!r}: expected a number from 1")
    return int(number)


routes = [
    Route("/iiif/collection.json", archive),
    Route("/iiif/patients/{patient}/collection.json", patient),
    Route("/iiif/studies/{study}/collection.json", study),
]
