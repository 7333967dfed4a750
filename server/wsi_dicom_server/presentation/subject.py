"""What becomes a manifest, whatever the version of the Presentation API: canvases, the images on them, and links."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from wsi_dicom.geometry import Spacing


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
    """Something else about a series: `path` is below the series' own address; `kind` is IIIF's type of resource."""

    path: str
    label: str
    kind: str
    media_type: str
    profile: str | None = None


@dataclass(frozen=True, slots=True)
class Subject:
    """A series. `datasets` say more of it for programs, `downloads` are it in other forms.

    `date` is like 2024-01-31, "" when it is not known or not told. `study` is the Orthanc identifier of the collection
    that the series is in, None where that may not be seen.
    """

    series: str
    title: str
    facts: Sequence[tuple[str, str]]
    canvases: Sequence[Canvas]
    ranges: Sequence[Range] = ()
    datasets: Sequence[Link] = ()
    downloads: Sequence[Link] = ()
    date: str = ""
    behavior: str = "individuals"
    study: str | None = None


@dataclass(frozen=True, slots=True)
class Addresses:
    """`base` is where the routes of data begin as the client knows them, `home` where the pages do; no final slash."""

    base: str
    home: str

    def image(self, image: ShownImage, version: int = 3) -> str:
        return f"{self.base}/iiif/{'2/' if version == 2 else ''}{image.path}"

    def series(self, series: str, version: int = 3) -> str:
        return f"{self.base}/iiif/{'2/' if version == 2 else ''}series/{series}"

    def viewer(self, series: str) -> str:
        return f"{self.home}/viewer/{series}"

    def collection(self, kind: str, identifier: str) -> str:
        """`kind` is patients or studies."""
        return f"{self.base}/iiif/{kind}/{identifier}/collection.json"

    @property
    def archive(self) -> str:
        return f"{self.base}/iiif/collection.json"


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
