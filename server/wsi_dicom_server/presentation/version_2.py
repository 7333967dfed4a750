"""Manifests and collections of the IIIF Presentation API 2.1, for viewers that know no later one, over image services
of 2.1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from wsi_dicom_server.iiif_info import IMAGE_CONTEXTS, PROFILE_URIS, physical_dimensions
from wsi_dicom_server.iiif_parameters import ImageApi
from wsi_dicom_server.presentation.listing import PAGE, Listing, Member
from wsi_dicom_server.presentation.subject import Addresses, Canvas, Link, Range, ShownImage, Subject
from wsi_dicom_server.presentation.version_3 import SHOWN_SIDE, THUMBNAIL_SIDE
from wsi_dicom_server.settings import ServerSettings

CONTEXT: Final = "http://iiif.io/api/presentation/2/context.json"


def manifest_2(subject: Subject, addresses: Addresses, settings: ServerSettings) -> dict[str, Any]:
    uri = addresses.iiif(subject.path, 2)
    content: dict[str, Any] = {
        "@context": CONTEXT,
        "@id": f"{uri}/manifest.json",
        "@type": "sc:Manifest",
        "label": subject.title,
        "metadata": _metadata(subject.facts),
        "thumbnail": _picture(subject.canvases[0].shown, addresses, THUMBNAIL_SIDE),
        "related": {"@id": addresses.viewer(subject.viewer), "format": "text/html", "label": "Viewer"},
        "viewingHint": "individuals",
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
            content[name] = [_link(link, addresses.iiif(subject.path)) for link in links]
    if subject.holder is not None:
        content["within"] = addresses.iiif(subject.holder, 2)
    if subject.date:
        content["navDate"] = f"{subject.date}T00:00:00Z"
    if subject.ranges:
        content["structures"] = [_range(number, item, uri) for number, item in enumerate(subject.ranges, 1)]
    return content | _statements(settings)


def collection_2(listing: Listing, addresses: Addresses, settings: ServerSettings) -> dict[str, Any]:
    """A large one leads to its pages (section 5.9 of the specification)."""
    content: dict[str, Any] = {"@context": CONTEXT, **_member(listing.itself, addresses), **_statements(settings)}
    leading = ("first", "last") if listing.page is None else ("prev", "next")
    content |= {name: addresses.iiif(path, 2) for name, path in listing.related.items() if name in leading}
    if listing.partly_of is not None:
        content["within"] = addresses.iiif(listing.partly_of, 2)
    if listing.page is not None:
        content["startIndex"] = (listing.page - 1) * PAGE
    else:
        content["total"] = listing.total
        if listing.facts:
            content["metadata"] = _metadata(listing.facts)
    if not listing.parts:
        kind = "manifests" if any(member.picture for member in listing.members) else "collections"
        content[kind] = [_member(member, addresses) for member in listing.members]
    return content


def _member(member: Member, addresses: Addresses) -> dict[str, Any]:
    kind = "sc:Collection" if member.picture is None else "sc:Manifest"
    content: dict[str, Any] = {"@id": addresses.iiif(member.path, 2), "@type": kind, "label": member.label}
    if isinstance(member.picture, ShownImage):
        content["thumbnail"] = _picture(member.picture, addresses, THUMBNAIL_SIDE)
    elif member.picture is not None:
        service = addresses.iiif(member.picture, 2)
        content["thumbnail"] = {
            "@id": f"{service}/full/!{THUMBNAIL_SIDE},{THUMBNAIL_SIDE}/0/default.jpg",
            "@type": "dctypes:Image",
            "format": "image/jpeg",
            "service": _image_service(service),
        }
    return content


def _metadata(facts: Sequence[tuple[str, str]]) -> list[dict[str, str]]:
    return [{"label": label, "value": value} for label, value in facts]


def _statements(settings: ServerSettings) -> dict[str, Any]:
    """What goes with everything that is shown."""
    content: dict[str, Any] = {}
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
    service, (width, height) = addresses.iiif(image.path, 2), image.fitted(side)
    return {
        "@id": f"{service}/full/{width},{height}/0/default.jpg",
        "@type": "dctypes:Image",
        "format": "image/jpeg",
        "width": width,
        "height": height,
        "service": _image_service(service),
    }


def _image_service(uri: str) -> dict[str, Any]:
    return {"@context": IMAGE_CONTEXTS[ImageApi.V2], "@id": uri, "profile": PROFILE_URIS[ImageApi.V2]}


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
