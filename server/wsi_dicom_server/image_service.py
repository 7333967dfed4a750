"""IIIF Image API 3.0 and 2.1, level 2 and all that is optional, for images of any kind."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from wsi_dicom_server.iiif_info import IMAGE_CONTEXTS, PROFILE_URIS, image_information
from wsi_dicom_server.iiif_parameters import ImageApi, SizeLimits, canonical_path, parse_image_request
from wsi_dicom_server.image_identifiers import ServedImage
from wsi_dicom_server.linked_data import linked_data
from wsi_dicom_server.pictures import picture_of
from wsi_dicom_server.replies import ANY_ORIGIN, REVALIDATE, Endpoint, Reply
from wsi_dicom_server.site import Site, site_of

_PROFILE_LINKS: Final = {version: f'<{uri}>;rel="profile"' for version, uri in PROFILE_URIS.items()}


@dataclass(frozen=True, slots=True)
class ImageService:
    """The images that `resolve` finds by the parameters of `path`, through a version of the Image API.

    `resolve` raises NotFound.
    """

    path: str
    resolve: Callable[[Request], Awaitable[ServedImage]]
    version: ImageApi = ImageApi.V3

    @property
    def routes(self) -> list[Route]:
        return [
            Route(self.path + "/{region}/{size}/{rotation}/{quality}.{format}", Endpoint(self._image), methods=["GET"]),
            Route(f"{self.path}/info.json", self._information),
            Route(self.path, self._base_uri),
        ]

    async def _base_uri(self, request: Request) -> Reply:
        """Section 2: the image's own address leads to its information."""
        await self.resolve(request)
        location = f"{self._uri(request)}/info.json"
        return Reply(303, [(b"location", location.encode()), ANY_ORIGIN, REVALIDATE])

    async def _information(self, request: Request) -> Reply:
        """Section 5.1: 3.0 is JSON-LD unless plain JSON is asked for, 2.1 the other way round."""
        site, image = site_of(request), await self.resolve(request)
        content = image_information(
            self._uri(request),
            image.slide.pyramid,
            _limits(site),
            site.settings.rights,
            self.version,
            powers_of_two=site.settings.powers_of_two,
        )
        links = [_PROFILE_LINKS[self.version]]
        return linked_data(request, content, IMAGE_CONTEXTS[self.version], links, latest=self.version is ImageApi.V3)

    async def _image(self, request: Request) -> Response:
        site, parts, image = site_of(request), request.path_params, await self.resolve(request)
        base, limits = image.slide.pyramid.base, _limits(site)
        wanted = parse_image_request(
            base,
            limits,
            region=parts["region"],
            size=parts["size"],
            rotation=parts["rotation"],
            quality=parts["quality"],
            suffix=parts["format"],
            plane=image.plane,
            version=self.version,
        )
        canonical = canonical_path(base, limits, wanted, self.version)
        link = f'<{self._uri(request)}/{canonical}{image.query}>;rel="canonical", {_PROFILE_LINKS[self.version]}'
        return picture_of(request, image, wanted, canonical, (b"link", link.encode()))

    def _uri(self, request: Request) -> str:
        """Of an image that was found: what names it has no character that would have to be encoded."""
        return site_of(request).base_url(request) + self.path.format_map(request.path_params)


def _limits(site: Site) -> SizeLimits:
    return SizeLimits(site.settings.max_pixels)
