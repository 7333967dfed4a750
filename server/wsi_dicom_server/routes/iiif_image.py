"""`/iiif/tiles/{image}` and `/iiif/2/tiles/{image}`: slides and the pictures that come with them as IIIF images."""

from __future__ import annotations

from starlette.requests import Request

from wsi_dicom_server.iiif_parameters import ImageApi
from wsi_dicom_server.image_identifiers import ServedImage, image_of
from wsi_dicom_server.image_service import ImageService
from wsi_dicom_server.site import site_of


async def _image(request: Request) -> ServedImage:
    return await image_of(site_of(request), request.path_params["image"], request.scope["query_string"])


routes = [
    *ImageService("/iiif/tiles/{image}", _image).routes,
    *ImageService("/iiif/2/tiles/{image}", _image, ImageApi.V2).routes,
]
