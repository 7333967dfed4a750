"""Plain TIFF: a page for each level, then one for each associated image, which its description names."""

from __future__ import annotations

from wsi_dicom.codecs.compression import Compression
from wsi_dicom.codecs.transfer_syntaxes import JPEG_BASELINE
from wsi_dicom.frames import FrameSink
from wsi_dicom.plan import Container
from wsi_dicom.tiff.description import IMAGE, described, picture_name
from wsi_dicom.tiff.flavors.pages import SOFTWARE, TiffFlavor, TiffSubject, add_picture, level_page, picture_page
from wsi_dicom.tiff.page import WRITTEN
from wsi_dicom.tiff.writer import TiffWriter


def _properties(subject: TiffSubject) -> dict[str, str]:
    """What the tags of TIFF have no place for: optics, and the UIDs of the series. Nothing that names a patient."""
    metadata, spacing = subject.slide.metadata, subject.slide.pyramid.spacing
    told = {
        "Manufacturer": metadata.manufacturer,
        "Model": metadata.model,
        "AppMag": f"{metadata.objective_power:g}" if metadata.objective_power else None,
        "MPP": f"{spacing.x_mm * 1000:.6g}" if spacing else None,
        **subject.identifiers,
    }
    return {name: value for name, value in told.items() if value}


def _add_pages(writer: TiffWriter, subject: TiffSubject) -> list[FrameSink]:
    text = described(SOFTWARE, _properties(subject))
    sinks: list[FrameSink] = []
    for number in range(len(subject.plan.levels)):
        sinks += writer.add_page(level_page(subject, number, text))
    for flavor in subject.plan.associated:
        named = described(SOFTWARE, {IMAGE: picture_name(flavor)})
        add_picture(writer, subject, flavor, picture_page(subject, flavor, named))
    return sinks


FLAVOR = TiffFlavor(
    Container(
        "TIFF",
        WRITTEN,
        frozenset({JPEG_BASELINE}),
        lossless=Compression.DEFLATE,
        associated_compression=Compression.LZW,
        tile_multiple=16,
        sampled_alike=True,
        silent_ycbcr=False,
        planes=False,
        sparse=False,
    ),
    _add_pages,
)
