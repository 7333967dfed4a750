"""`/iiif/series/{series}/manifest.json`: IIIF Presentation API 3.0, one canvas that holds the slide."""

from __future__ import annotations

from typing import Any, Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.routing import Route

from wsi_dicom.geometry import Region
from wsi_dicom_server.captions import slide_facts, slide_title
from wsi_dicom_server.iiif_info import image_sizes, physical_dimensions
from wsi_dicom_server.iiif_parameters import SizeLimits
from wsi_dicom_server.negotiation import preferred
from wsi_dicom_server.replies import Reply, document, header
from wsi_dicom_server.site import site_of
from wsi_dicom_server.slide_pool import ServedSlide

CONTEXT: Final = "http://iiif.io/api/presentation/3/context.json"
_JSON_LD: Final = "application/ld+json"
_THUMBNAIL_SIDE: Final = 400
_SHOWN_SIDE: Final = 1024


async def manifest(request: Request) -> Reply:
    site, series = site_of(request), request.path_params["series"]
    served = await site.slides.get(series)
    media_type = preferred(header(request, b"accept"), (_JSON_LD, "application/json"))
    if media_type is None:
        raise HTTPException(406, f"a manifest can be sent as {_JSON_LD} or application/json")
    if media_type == _JSON_LD:
        media_type = f'{_JSON_LD};profile="{CONTEXT}"'
    content = _manifest(site.base_url(request), series, served, SizeLimits(site.settings.max_pixels))
    return document(request, content, media_type)


def _manifest(base_url: str, series: str, served: ServedSlide, limits: SizeLimits) -> dict[str, Any]:
    uri, image = f"{base_url}/iiif/series/{series}", f"{base_url}/iiif/tiles/{series}"
    pyramid = served.slide.pyramid
    level, label = pyramid.base, _text(slide_title(served.record))
    facts = slide_facts(served.record, served.slide)
    service = {"id": image, "type": "ImageService3", "profile": "level2"}
    canvas: dict[str, Any] = {
        "id": f"{uri}/canvas",
        "type": "Canvas",
        "label": label,
        "width": level.width,
        "height": level.height,
        "items": [
            {
                "id": f"{uri}/page",
                "type": "AnnotationPage",
                "items": [
                    {
                        "id": f"{uri}/annotation",
                        "type": "Annotation",
                        "motivation": "painting",
                        "target": f"{uri}/canvas",
                        "body": _picture(image, level.bounds, _SHOWN_SIDE, service),
                    }
                ],
            }
        ],
    }
    if pyramid.spacing is not None:
        # A canvas as large as its slide has pixels: one unit of it is one pixel.
        canvas["service"] = [physical_dimensions(f"{uri}/canvas", pyramid.spacing)]
    sizes = {"sizes": image_sizes(pyramid, limits), "width": level.width, "height": level.height}
    return {
        "@context": CONTEXT,
        "id": f"{uri}/manifest.json",
        "type": "Manifest",
        "label": label,
        "metadata": [{"label": _text(name), "value": _text(value)} for name, value in facts],
        "thumbnail": [_picture(image, level.bounds, _THUMBNAIL_SIDE, service | sizes)],
        "items": [canvas],
    }


def _text(value: str) -> dict[str, list[str]]:
    return {"none": [value]}


def _picture(image: str, area: Region, side: int, service: dict[str, Any]) -> dict[str, Any]:
    """The whole slide as an Image resource that fits into a square of `side` pixels."""
    scale = min(1.0, side / area.width, side / area.height)
    width, height = max(1, int(area.width * scale)), max(1, int(area.height * scale))
    return {
        "id": f"{image}/full/{width},{height}/0/default.jpg",
        "type": "Image",
        "format": "image/jpeg",
        "width": width,
        "height": height,
        "service": [service],
    }


routes = [Route("/iiif/series/{series}/manifest.json", manifest)]
