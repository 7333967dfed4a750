"""Manifests and collections of the IIIF Presentation API 3.0.

Annotations of others would stand in a canvas's `annotations`, as addresses of annotation pages: nothing makes any yet.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from wsi_dicom_server.iiif_info import physical_dimensions
from wsi_dicom_server.presentation.listing import Listing, Member
from wsi_dicom_server.presentation.subject import Addresses, Canvas, Link, Range, ShownImage, Subject
from wsi_dicom_server.settings import ServerSettings

CONTEXT: Final = "http://iiif.io/api/presentation/3/context.json"
THUMBNAIL_SIDE: Final = 400
SHOWN_SIDE: Final = 1024


def manifest_3(subject: Subject, addresses: Addresses, settings: ServerSettings) -> dict[str, Any]:
    uri = addresses.iiif(subject.path)
    content: dict[str, Any] = {
        "@context": CONTEXT,
        "id": f"{uri}/manifest.json",
        "type": "Manifest",
        "label": text(subject.title),
        "metadata": metadata(subject.facts),
        **told_statements(settings, addresses.home),
        "thumbnail": [thumbnail(subject.canvases[0].shown, addresses)],
        "homepage": [_homepage(addresses.viewer(subject.viewer), english("Viewer"))],
        "behavior": ["individuals"],
        "items": [_canvas(canvas, uri, addresses) for canvas in subject.canvases],
    }
    if subject.date:
        content["navDate"] = f"{subject.date}T00:00:00Z"
    if subject.datasets:
        content["seeAlso"] = [_link(link, uri) for link in subject.datasets]
    if subject.downloads:
        content["rendering"] = [_link(link, uri) for link in subject.downloads]
    if subject.holder is not None:
        content["partOf"] = [{"id": addresses.iiif(subject.holder), "type": "Collection"}]
    if subject.ranges:
        content["structures"] = [_range(number, item, uri) for number, item in enumerate(subject.ranges, 1)]
    return content


def collection_3(listing: Listing, addresses: Addresses, settings: ServerSettings) -> dict[str, Any]:
    """3.0 has no pages of collections: a large one holds smaller ones, which every viewer understands."""
    content: dict[str, Any] = {
        "@context": CONTEXT,
        **_member(listing.itself, addresses),
        **told_statements(settings, addresses.home),
    }
    if listing.facts and listing.page is None:
        content["metadata"] = metadata(listing.facts)
    if listing.partly_of is not None:
        content["partOf"] = [{"id": addresses.iiif(listing.partly_of), "type": "Collection"}]
    content["items"] = [_member(member, addresses) for member in listing.parts or listing.members]
    return content


def _member(member: Member, addresses: Addresses) -> dict[str, Any]:
    kind = "Collection" if member.picture is None else "Manifest"
    content: dict[str, Any] = {"id": addresses.iiif(member.path), "type": kind, "label": text(member.label)}
    if isinstance(member.picture, ShownImage):
        content["thumbnail"] = [thumbnail(member.picture, addresses)]
    elif member.picture is not None:
        service = addresses.iiif(member.picture)
        address = f"{service}/full/^!{THUMBNAIL_SIDE},{THUMBNAIL_SIDE}/0/default.jpg"
        content["thumbnail"] = [
            {"id": address, "type": "Image", "format": "image/jpeg", "service": [_image_service(service)]}
        ]
    return content


def text(value: str) -> dict[str, list[str]]:
    """What the data say, in whatever language."""
    return {"none": [value]}


def english(value: str) -> dict[str, list[str]]:
    """What we say."""
    return {"en": [value]}


def metadata(facts: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
    return [{"label": english(name), "value": text(value)} for name, value in facts]


def told_statements(settings: ServerSettings, home: str) -> dict[str, Any]:
    """What goes with everything that is shown."""
    content: dict[str, Any] = {}
    if settings.rights:
        content["rights"] = settings.rights
    if settings.attribution:
        content["requiredStatement"] = {"label": english("Attribution"), "value": text(settings.attribution)}
    if settings.provider:
        url = settings.provider_url or f"{home}/"
        name = text(settings.provider)
        content["provider"] = [{"id": url, "type": "Agent", "label": name, "homepage": [_homepage(url, name)]}]
    return content


def _canvas(canvas: Canvas, uri: str, addresses: Addresses) -> dict[str, Any]:
    own, shown = f"{uri}/{canvas.name}", canvas.shown
    bodies = [_picture(image, addresses, SHOWN_SIDE) | {"label": text(image.label)} for image in canvas.images]
    content: dict[str, Any] = {
        "id": own,
        "type": "Canvas",
        "label": text(canvas.label),
        "width": shown.width,
        "height": shown.height,
        "thumbnail": [thumbnail(shown, addresses)],
        "items": [
            {
                "id": f"{own}/page",
                "type": "AnnotationPage",
                "items": [
                    {
                        "id": f"{own}/annotation",
                        "type": "Annotation",
                        "motivation": "painting",
                        "target": own,
                        "body": bodies[0] if len(bodies) == 1 else {"type": "Choice", "items": bodies},
                    }
                ],
            }
        ],
    }
    if canvas.spacing is not None:
        # A canvas as large as its image has pixels: one unit of it is one pixel.
        content["service"] = [physical_dimensions(own, canvas.spacing)]
    return content


def _picture(image: ShownImage, addresses: Addresses, side: int) -> dict[str, Any]:
    service, (width, height) = addresses.iiif(image.path), image.fitted(side)
    return {
        "id": f"{service}/full/{width},{height}/0/default.jpg",
        "type": "Image",
        "format": "image/jpeg",
        "width": width,
        "height": height,
        "service": [_image_service(service)],
    }


def _image_service(uri: str) -> dict[str, Any]:
    return {"id": uri, "type": "ImageService3", "profile": "level2"}


def thumbnail(image: ShownImage, addresses: Addresses) -> dict[str, Any]:
    """With the sizes that the service has ready, so that viewers need not ask for its `info.json`."""
    picture = _picture(image, addresses, THUMBNAIL_SIDE)
    if image.sizes:
        picture["service"][0] |= {"width": image.width, "height": image.height, "sizes": list(image.sizes)}
    return picture


def _range(number: int, item: Range, uri: str) -> dict[str, Any]:
    return {
        "id": f"{uri}/range/{number}",
        "type": "Range",
        "label": text(item.label),
        "items": [{"id": f"{uri}/{canvas.name}", "type": "Canvas"} for canvas in item.canvases],
    }


def _link(link: Link, uri: str) -> dict[str, Any]:
    content = {
        "id": f"{uri}/{link.path}",
        "type": link.kind,
        "label": english(link.label),
        "format": link.media_type,
    }
    return content | ({"profile": link.profile} if link.profile else {})


def _homepage(url: str, label: dict[str, list[str]]) -> dict[str, Any]:
    return {"id": url, "type": "Text", "label": label, "format": "text/html"}
