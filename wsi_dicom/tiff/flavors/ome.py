"""OME-TIFF 6: a page for each plane, its coarser levels as SubIFDs, OME-XML in the description of the first page."""

from __future__ import annotations

from dataclasses import replace

from wsi_dicom.frames import FrameSink
from wsi_dicom.tiff.flavors import generic
from wsi_dicom.tiff.flavors.ome_document import ome_document
from wsi_dicom.tiff.flavors.pages import TiffFlavor, TiffSubject, add_picture, level_page, picture_page
from wsi_dicom.tiff.page import PlanesSink
from wsi_dicom.tiff.writer import TiffWriter


def _add_pages(writer: TiffWriter, subject: TiffSubject) -> list[FrameSink]:
    first, *coarser = (level_page(subject, number) for number in range(len(subject.plan.levels)))
    planes = [
        writer.add_page(first if number else replace(first, description=ome_document(subject)), coarser)
        for number in range(len(subject.plan.planes))
    ]
    for flavor in subject.plan.associated:
        add_picture(writer, subject, flavor, picture_page(subject, flavor))
    return [PlanesSink(pages) for pages in zip(*planes, strict=True)]


FLAVOR = TiffFlavor(replace(generic.FLAVOR.container, name="OME-TIFF", planes=True), _add_pages)
