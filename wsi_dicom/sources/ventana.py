"""Ventana BIF (Roche iScan and DP scanners), and the TIFF that their software exports.

The XMP of page 0 has an `iScan` element, whose attributes tell the scanner; pages named `level=N mag=M quality=Q` are
the levels, others are named `Label_Image` (the whole slide), `Thumbnail` and `Probability_Image`. The tiles of level 0
are camera frames. The XMP of its page, `EncodeInfo`, tells for each two neighbours by how much they overlap, and for
each scanned area how many frames it has and where. Only slides of one area whose frames abut are read here; the others
are OpenSlide's. Exported TIFF has been put together already, and has no EncodeInfo.

Source: Roche's BIF white paper (MC--06058, 2020), as others describe it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final
from xml.etree.ElementTree import Element

from wsi_dicom.errors import UnsupportedStack
from wsi_dicom.metadata import SlideMetadata, parse_moment
from wsi_dicom.slide import ImageFlavor, Slide, SourceOptions
from wsi_dicom.sources.scanner_text import magnification, number, whole
from wsi_dicom.sources.xml_tree import parse_xml
from wsi_dicom.tiff.layout import TiffLayout, plausible_spacing, read_layout, refuse_stack
from wsi_dicom.tiff.level import open_levels
from wsi_dicom.tiff.slide import TiffSlide, reductions
from wsi_dicom.tiff.structure import Tag, TiffDirectory, TiffFile
from wsi_dicom.tiff.vendor import TiffVendor, associated_images

_FLAVORS: Final = {
    "Label Image": ImageFlavor.OVERVIEW,
    "Label_Image": ImageFlavor.OVERVIEW,
    "Thumbnail": ImageFlavor.THUMBNAIL,
}


def _claims(directory: TiffDirectory) -> bool:
    return "<iScan" in directory.text(Tag.XMP)


def _where(directory: TiffDirectory) -> str:
    return f"{directory.file.name}: {directory.place}: XMP"


def _xmp(directory: TiffDirectory, name: str) -> Element | None:
    """The first element of a name, which may be the root."""
    return next(parse_xml(directory.text(Tag.XMP), _where(directory)).iter(name), None)


def _iscan(directory: TiffDirectory) -> Element:
    found = _xmp(directory, "iScan")
    if found is None:
        raise directory.corrupt("XMP without the iScan element that Ventana slides have")
    return found


def _levels(pages: Sequence[TiffDirectory]) -> Iterator[tuple[int, TiffDirectory]]:
    for page in pages:
        name = re.search(r"\blevel=(\d{1,2})\b", page.text(Tag.IMAGE_DESCRIPTION))
        if name:
            yield int(name[1]), page


def _refuse_overlaps(area: Element, directory: TiffDirectory) -> None:
    where = _where(directory)
    joints = area.findall(".//TileJointInfo")
    if not joints and whole(area, "NumCols", where) * whole(area, "NumRows", where) > 1:
        raise directory.unsupported("Ventana tiles of which nothing tells whether they overlap")
    for joint in joints:
        overlap = whole(joint, "OverlapX", where), whole(joint, "OverlapY", where)
        if overlap != (0, 0):
            raise directory.unsupported(
                f"Ventana tiles {joint.get('Tile1')} and {joint.get('Tile2')} overlap by {overlap[0]} x {overlap[1]} "
                "pixels and are not put together here"
            )
    frames = [frame.get("XY", "").split(",")[::-1] for frame in area.iter("Frame") if frame.get("Z", "0") == "0"]
    places = [tuple(number(value) or 0 for value in frame) for frame in frames]
    if places != sorted(places):
        raise directory.unsupported("Ventana tiles that are not stored row by row")


def _scanned(info: Element, directory: TiffDirectory, layout: TiffLayout) -> tuple[int, int]:
    """Width and height of the area that was scanned; the grid of the file may have more columns.

    Raises UnsupportedFormat when there are several, whose places on the stage are no multiples of tiles, or its tiles
    overlap.
    """
    level, where = layout.level, _where(directory)
    areas = [area for area in info.iter("ImageInfo") if area.get("AOIScanned") != "0"]
    if len(areas) != 1:
        raise directory.unsupported(f"a Ventana slide of {len(areas)} scanned areas, which are not put together here")
    _refuse_overlaps(areas[0], directory)
    tile = whole(areas[0], "Width", where), whole(areas[0], "Height", where)
    origins = [whole(origin, name, where) for name in ("OriginX", "OriginY") for origin in info.iterfind("AoiOrigin/*")]
    if tile != (level.tile_width, level.tile_height) or any(origins):
        raise directory.unsupported("a Ventana area that does not lie in the grid of tiles")
    columns, rows = whole(areas[0], "NumCols", where), whole(areas[0], "NumRows", where)
    if not (0 < columns <= level.columns and 0 < rows <= level.rows):
        raise directory.corrupt(f"an area of {columns} x {rows} tiles in a grid of {level.columns} x {level.rows}")
    return columns * tile[0], rows * tile[1]


def _metadata(scan: Element, directory: TiffDirectory) -> SlideMetadata:
    version = scan.get("BuildVersion")
    return SlideMetadata(
        manufacturer="Ventana",
        model=scan.get("ScannerModel") or None,
        serial_number=scan.get("UnitNumber") or None,
        software_versions=(version,) if version else (),
        acquired=parse_moment(directory.text(Tag.DATE_TIME), "%Y:%m:%d %H:%M:%S"),
        objective_power=magnification(scan.get("Magnification")),
        icc_profile=directory.data(Tag.ICC_PROFILE) or None,
        barcode=scan.get("Barcode1D") or scan.get("Barcode2D") or None,
        properties={name: value for name, value in scan.items() if value},
    )


def _read(file: TiffFile, options: SourceOptions) -> Slide:
    pages = list(file.directories())
    scan = _iscan(pages[0])
    if scan.get("Z-layers", "1") not in ("0", "1"):
        raise UnsupportedStack(f"{file.name}: a Ventana slide of {scan.get('Z-layers')} focal planes is not supported")
    numbered = sorted(_levels(pages), key=lambda level: level[0])
    if not numbered:
        raise pages[0].unsupported("a Ventana slide in which no page is named as a level")
    levels = [(page, read_layout(page)) for _, page in numbered]
    refuse_stack([layout for _, layout in levels])
    base, layout = levels[0]
    info = _xmp(base, "EncodeInfo") if Tag.XMP in base else None
    if info is not None:
        width, height = _scanned(info, base, layout)
        halvings = [level - numbered[0][0] for level, _ in numbered]
        levels = [
            (page, found.cropped(-(-width >> halved), -(-height >> halved)))
            for (page, found), halved in zip(levels, halvings, strict=True)
        ]
    um = number(scan.get("ScanRes"))
    named = ((page.text(Tag.IMAGE_DESCRIPTION).strip(), page) for page in pages)
    return TiffSlide(
        file,
        open_levels(reductions(levels), options),
        spacing=plausible_spacing(um, um),
        metadata=_metadata(scan, base),
        associated=associated_images(((_FLAVORS[name], page) for name, page in named if name in _FLAVORS), options),
    )


FORMAT = TiffVendor("ventana", "Ventana BIF", _claims, _read)
