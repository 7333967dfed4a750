"""Answers with pictures: of any image, in any size and format."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from wsi_dicom.render import ImageRequest, render, stored_picture
from wsi_dicom_server.image_identifiers import ServedImage
from wsi_dicom_server.replies import Reply, entity_tag, not_modified, picture_headers, unchanged
from wsi_dicom_server.site import site_of
from wsi_dicom_server.unread import MadePicture, largest_file


def picture_of(
    request: Request, image: ServedImage, wanted: ImageRequest, name: str, *headers: tuple[bytes, bytes]
) -> Response:
    """The stored tile if that is what is `wanted`, read here in the event loop; else a picture made once for all.

    `name` tells `wanted` from all else of this image in the entity tag. Raises CorruptInput, CodecError; the answer
    raises, once it is sent, as `render` does.
    """
    site, slide = site_of(request), image.slide
    settings = site.settings
    etag = f'"{image.tag}-{settings.colors}-{name}"'
    all_headers = picture_headers(wanted.format.media_type, *headers, entity_tag(etag))
    if unchanged(request, etag):
        return not_modified(all_headers)
    if (stored := stored_picture(slide, wanted, settings.colors)) is not None:
        return Reply(200, all_headers, stored)

    def made() -> bytes:
        return render(
            slide,
            wanted,
            jpeg_quality=settings.jpeg_quality,
            max_pixels=settings.max_pixels,
            colors=settings.colors,
        )

    return MadePicture(
        all_headers,
        largest_file(*wanted.turned_size),
        lambda: site.answers.get((image.tag, wanted), lambda: site.decode(request, made)),
        site.unread,
    )
