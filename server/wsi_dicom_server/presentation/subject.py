"""What becomes a manifest, whatever the version of the Presentation API: canvases, the images on them, and links."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from starlette.requests import Request

from wsi_dicom.geometry import Spacing
from wsi_dicom_server.addresses import home_url
from wsi_dicom_server.site import site_of


@dataclass(frozen=True, slots=True)
class ShownImage:
    """An image service, by its path below `/iiif/`, or for Image API 2.1 below `/iiif/2/`.

    `sizes` are those of the whole image that cost least.
    """

    path: str
    label: str
    width: int
    height: int
    sizes: Sequence[dict[str, int]] = ()

    def fitted(self, side: int) -> tuple[int, int]:
        """Width and height of the whole image in a square of `side` pixels, never enlarged."""
        scale = min(1.0, side / self.width, side / self.height)
        return max(1, int(self.width * scale)), max(1, int(self.height * scale))


@dataclass(frozen=True, slots=True)
class Canvas:
    """One view, as large as its images have pixels: several of them are alternatives, the first the default.

    `name` is the end of its address. `spacing` is that of a pixel.
    """

    name: str
    label: str
    images: tuple[ShownImage, ...]
    spacing: Spacing | None = None

    @property
    def shown(self) -> ShownImage:
        return self.images[0]


@dataclass(frozen=True, slots=True)
class Range:
    """Canvases that belong together."""

    label: str
    canvases: Sequence[Canvas]


@dataclass(frozen=True, slots=True)
class Link:
    """Something else about a subject: `path` is below the subject's address; `kind` is IIIF's type of resource."""

    path: str
    label: str
    kind: str
    media_type: str
    profile: str | None = None


@dataclass(frozen=True, slots=True)
class Subject:
    """A series, or a frame. `datasets` say more of it for programs, `downloads` are it in other forms.

    `path` is that of its address below `/iiif/`, `viewer` that of its page below `/viewer/`. `date` is like 2024-01-31,
    "" when it is not known or not told. `holder` is the path of the collection that holds it, None where that may not
    be seen.
    """

    path: str
    viewer: str
    title: str
    facts: Sequence[tuple[str, str]]
    canvases: Sequence[Canvas]
    ranges: Sequence[Range] = ()
    datasets: Sequence[Link] = ()
    downloads: Sequence[Link] = ()
    date: str = ""
    holder: str | None = None


@dataclass(frozen=True, slots=True)
class Addresses:
    """`base` is where the routes of data begin as the client knows them, `home` where the pages do; no final slash."""

    base: str
    home: str

    def iiif(self, path: str, version: int = 3) -> str:
        """Of what has this path below `/iiif/`, in a version of the Presentation or the Image API."""
        return f"{self.base}/iiif/{'2/' if version == 2 else ''}{path}"

    def viewer(self, path: str) -> str:
        return f"{self.home}/viewer/{path}"


def addresses_of(request: Request) -> Addresses:
    """As the client knows them. Raises InvalidRequest."""
    return Addresses(site_of(request).base_url(request), home_url(request))


def series_path(series: str) -> str:
    return f"series/{series}"


def manifest_path(series: str) -> str:
    return f"{series_path(series)}/manifest.json"


def frame_path(identifier: str, number: int) -> str:
    """Of a frame, counted from 0, of a series or an instance."""
    return f"frames-pyramids/{identifier}/{number}"


def frame_manifest_path(identifier: str, number: int) -> str:
    return f"{frame_path(identifier, number)}/manifest.json"


def study_path(study: str) -> str:
    """By its Orthanc identifier."""
    return f"studies/{study}/collection.json"


MOST_DESCRIBED: Final = 500
"""Instances of a series whose attributes are told in one answer."""

DATASET: Final = Link(
    "dicom.json",
    "DICOM attributes",
    "Dataset",
    "application/dicom+json",
    "http://dicom.nema.org/medical/dicom/current/output/chtml/part18/chapter_F.html",
)
FILES: Final = Link("dicom.zip", "DICOM files", "Dataset", "application/zip")
TIFF: Final = Link("slide.tif", "Pyramidal TIFF", "Image", "image/tiff")
