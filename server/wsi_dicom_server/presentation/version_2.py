"""A manifest of the IIIF Presentation API 2.1, for viewers that know no later one, over image services of 2.1."""

from __future__ import annotations

from typing import Any, Final

from wsi_dicom_server.iiif_info import IMAGE_CONTEXTS, PROFILE_URIS, physical_dimensions
from wsi_dicom_server.iiif_parameters import ImageApi
from wsi_dicom_server.presentation.subject import Addresses, Canvas, Link, Range, ShownImage, Subject
from wsi_dicom_server.presentation.version_3 import SHOWN_SIDE, THUMBNAIL_SIDE
from wsi_dicom_server.settings import ServerSettings

CONTEXT: Final = "http://iiif.io/api/presentation/2/context.json"


def manifest_2(subject: Subject, addresses: Addresses, settings: ServerSettings) -> dict[str, Any]:
    uri = addresses.series(subject.series, 2)
    content: dict[str, Any] = {
        "@context": CONTEXT,
        "@id": f"{uri}/manifest.json",
        "@type": "sc:Manifest",
        "label": subject.title,
        "metadata": [{"label": label, "value": value} for label, value in subject.facts],
        "thumbnail": _picture(subject.canvases[0].shown, addresses, THUMBNAIL_SIDE),
        "viewingHint": subject.behavior,
        "sequences": [
            {
                "@id": f"{uri}/sequence",
                "@type": "sc:Sequence",
                "label": subject.title,
                "canvases": [_canvas(canvas, uri, addresses) for canvas in subject.canvases],
            }
        ],
    }
    for name, links in (("seeAlso", subject.datasets), ("rendering", subject.downloads)):
        if links:
            content[name] = [_link(link, addresses.series(subject.series)) for link in links]
    if subject.date:
        content["navDate"] = f"{subject.date}T00:00:00Z"
    if subject.ranges:
        content["structures"] = [_range(number, item, uri) for number, item in enumerate(subject.ranges, 1)]
    if settings.rights:
        content["license"] = settings.rights
    if told := [text for text in (settings.attribution, settings.provider) if text]:
        content["attribution"] = told
    return content


def _canvas(canvas: Canvas, uri: str, addresses: Addresses) -> dict[str, Any]:
    own, shown = f"{uri}/{canvas.name}", canvas.shown
    resources = [_picture(image, addresses, SHOWN_SIDE) | {"label": image.label} for image in canvas.images]
    content: dict[str, Any] = {
        "@id": own,
        "@type": "sc:Canvas",
        "label": canvas.label,
        "width": shown.width,
        "height": shown.height,
        "thumbnail": _picture(shown, addresses, THUMBNAIL_SIDE),
        "images": [
            {
                "@id": f"{own}/annotation",
                "@type": "oa:Annotation",
                "motivation": "sc:painting",
                "on": own,
                "resource": resources[0]
                if len(resources) == 1
                else {"@type": "oa:Choice", "default": resources[0], "item": resources[1:]},
            }
        ],
    }
    if canvas.spacing is not None:
        content["service"] = physical_dimensions(own, canvas.spacing)
    return content


def _picture(image: ShownImage, addresses: Addresses, side: int) -> dict[str, Any]:
    service, (width, height) = addresses.image(image, 2), image.fitted(side)
    return {
        "@id": f"{service}/full/{width},{height}/0/default.jpg",
        "@type": "dctypes:Image",
        "format": "image/jpeg",
        "width": width,
        "height": height,
        "service": {
            "@context": IMAGE_CONTEXTS[ImageApi.V2],
            "@id": service,
            "profile": PROFILE_URIS[ImageApi.V2],
        },
    }


def _range(number: int, item: Range, uri: str) -> dict[str, Any]:
    return {
        "@id": f"{uri}/range/{number}",
        "@type": "sc:Range",
        "label": item.label,
        "canvases": [f"{uri}/{canvas.name}" for canvas in item.canvases],
    }


def _link(link: Link, uri: str) -> dict[str, Any]:
    content = {"@id": f"{uri}/{link.path}", "label": link.label, "format": link.media_type}
    return content | ({"profile": link.profile} if link.profile else {})
