"""`/iiif/tiles/{series}`: IIIF Image API 3.0, level 2 and most of what is optional."""

from __future__ import annotations

from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.routing import Route

from wsi_dicom.codecs.transfer_syntaxes import JPEG_BASELINE
from wsi_dicom.render import ImageRequest, PictureFormat, jpeg_file, render, stored_tile
from wsi_dicom.slide import Slide
from wsi_dicom_server.iiif_info import IMAGE_CONTEXT, PROFILE_URI, image_information
from wsi_dicom_server.iiif_parameters import SizeLimits, canonical_path, parse_image_request
from wsi_dicom_server.negotiation import preferred
from wsi_dicom_server.replies import (
    ANY_ORIGIN,
    REVALIDATE,
    Endpoint,
    Reply,
    document,
    header,
    not_modified,
    picture,
    unchanged,
)
from wsi_dicom_server.site import Site, site_of

_JSON_LD: Final = "application/ld+json"
_PROFILE_LINK: Final = f'<{PROFILE_URI}>;rel="profile"'


async def base_uri(request: Request) -> Reply:
    """Section 2.1: the image's own address leads to its information."""
    site, series = site_of(request), request.path_params["series"]
    await site.slides.get(series)
    location = f"{_image_uri(site, request, series)}/info.json"
    return Reply(303, [(b"location", location.encode()), ANY_ORIGIN, REVALIDATE])


async def information(request: Request) -> Reply:
    site, series = site_of(request), request.path_params["series"]
    served = await site.slides.get(series)
    content = image_information(_image_uri(site, request, series), served.slide.pyramid, _limits(site))
    media_type = preferred(header(request, b"accept"), (_JSON_LD, "application/json"))
    if media_type is None:
        raise HTTPException(406, f"image information can be sent as {_JSON_LD} or application/json")
    if media_type == _JSON_LD:
        media_type = f'{_JSON_LD};profile="{IMAGE_CONTEXT}"'
    return document(request, content, media_type, [_PROFILE_LINK])


async def image(request: Request) -> Reply:
    site, parts = site_of(request), request.path_params
    series = parts["series"]
    served = await site.slides.get(series)
    slide, limits = served.slide, _limits(site)
    base = slide.pyramid.base
    wanted = parse_image_request(
        base,
        limits,
        region=parts["region"],
        size=parts["size"],
        rotation=parts["rotation"],
        quality=parts["quality"],
        suffix=parts["format"],
    )
    canonical = canonical_path(base, limits, wanted)
    link = f'<{_image_uri(site, request, series)}/{canonical}>;rel="canonical", {_PROFILE_LINK}'
    headers = (b"link", link.encode())
    etag = f'"{served.tag}-{canonical}"'
    if unchanged(request, etag):
        return not_modified(etag, headers)
    body = _stored(slide, wanted)
    if body is None:
        settings = site.settings
        body = await site.decode(
            request,
            lambda: render(slide, wanted, jpeg_quality=settings.jpeg_quality, max_pixels=settings.max_pixels),
        )
    return picture(body, wanted.format.media_type, etag, headers)


def _stored(slide: Slide, wanted: ImageRequest) -> bytes | None:
    """The stored tile, read here in the event loop, when it is exactly what is asked for."""
    if wanted.format is not PictureFormat.JPG or (address := stored_tile(slide.pyramid, wanted)) is None:
        return None
    encoding = slide.encoding(address.level)
    if encoding is None or encoding.transfer_syntax != JPEG_BASELINE:
        return None
    tile = slide.encoded_tile(*address)
    return jpeg_file(tile) if tile is not None else None


def _limits(site: Site) -> SizeLimits:
    return SizeLimits(site.settings.max_pixels)


def _image_uri(site: Site, request: Request, series: str) -> str:
    return f"{site.base_url(request)}/iiif/tiles/{series}"


routes = [
    Route("/iiif/tiles/{series}/{region}/{size}/{rotation}/{quality}.{format}", Endpoint(image), methods=["GET"]),
    Route("/iiif/tiles/{series}/info.json", information),
    Route("/iiif/tiles/{series}", base_uri),
]
