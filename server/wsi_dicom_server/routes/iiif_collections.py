"""IIIF collections of the archive, of a patient, of a study, of both versions. `?page=` is a part of a large one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from anyio import to_thread
from starlette.requests import Request
from starlette.routing import Route

from wsi_dicom_server.access.principal import principal_of
from wsi_dicom_server.addresses import page_number
from wsi_dicom_server.linked_data import linked_data
from wsi_dicom_server.presentation import version_2, version_3
from wsi_dicom_server.presentation.collections import Collections
from wsi_dicom_server.presentation.listing import Listing
from wsi_dicom_server.presentation.subject import Addresses, addresses_of
from wsi_dicom_server.presentation.version_2 import collection_2
from wsi_dicom_server.presentation.version_3 import collection_3
from wsi_dicom_server.replies import Reply
from wsi_dicom_server.settings import ServerSettings
from wsi_dicom_server.site import site_of


@dataclass(frozen=True, slots=True)
class _CollectionRoutes:
    """Through a version of the Presentation API."""

    prefix: str
    version: int
    context: str
    written: Callable[[Listing, Addresses, ServerSettings], dict[str, Any]]

    @property
    def routes(self) -> list[Route]:
        return [
            Route(f"{self.prefix}/collection.json", self._archive),
            Route(f"{self.prefix}/patients/{{patient}}/collection.json", self._patient),
            Route(f"{self.prefix}/studies/{{study}}/collection.json", self._study),
        ]

    async def _archive(self, request: Request) -> Reply:
        return await self._reply(request, Collections.archive)

    async def _patient(self, request: Request) -> Reply:
        identifier = request.path_params["patient"]
        return await self._reply(request, lambda collections: collections.patient(identifier))

    async def _study(self, request: Request) -> Reply:
        identifier = request.path_params["study"]
        return await self._reply(request, lambda collections: collections.study(identifier))

    async def _reply(self, request: Request, listed: Callable[[Collections], Listing]) -> Reply:
        site, addresses = site_of(request), addresses_of(request)
        naming, dates = principal_of(request).identified, not site.settings.hide_dates
        collections = Collections(site.store, naming, dates, _page(request))
        listing = await to_thread.run_sync(listed, collections)
        content = self.written(listing, addresses, site.settings)
        links = listing.web_links(addresses, self.version)
        return linked_data(request, content, self.context, links, latest=self.version == 3)


def _page(request: Request) -> int | None:
    number = request.query_params.get("page")
    return None if number is None else page_number(number)


routes = [
    *_CollectionRoutes("/iiif", 3, version_3.CONTEXT, collection_3).routes,
    *_CollectionRoutes("/iiif/2", 2, version_2.CONTEXT, collection_2).routes,
]
