"""Slides in the forms of vendors of whom there is no file at hand, made from what is known of their formats."""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import cv2
import imagecodecs
import numpy as np
import tifffile
from numpy.typing import NDArray
from skimage.data import immunohistochemistry

Pixels = NDArray[Any]


def picture(width: int, height: int) -> Pixels:
    """Tissue of up to 512 x 512 pixels, RGB."""
    pixels: Pixels = immunohistochemistry()  # type: ignore[no-untyped-call]
    return np.ascontiguousarray(pixels[:height, :width])


def reduced(pixels: Pixels, factor: int) -> Pixels:
    size = -(-pixels.shape[1] // factor), -(-pixels.shape[0] // factor)
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA))


def padded(pixels: Pixels, tile: int, more_columns: int = 0) -> Pixels:
    """To whole tiles, and further columns of them, in black."""
    height, width = (-(-side // tile) * tile for side in pixels.shape[:2])
    result = np.zeros((height, width + more_columns * tile, *pixels.shape[2:]), pixels.dtype)
    result[: pixels.shape[0], : pixels.shape[1]] = pixels
    return result


def jpeg(pixels: Pixels) -> bytes:
    return bytes(imagecodecs.jpeg8_encode(pixels, level=80))


def jpegxl_codestream(boxed: bytes) -> bytes:
    """What a JPEG XL file has in its boxes jxlc and jxlp (ISO 18181-2 9.8)."""
    parts, position = [], 0
    while position < len(boxed):
        size, kind = struct.unpack_from(">I4s", boxed, position)
        end = position + size if size else len(boxed)
        if kind in (b"jxlc", b"jxlp"):
            parts.append(boxed[position + (8 if kind == b"jxlc" else 12) : end])
        position = end
    return b"".join(parts)


@dataclass
class Page:
    """A directory of a TIFF file. `tile` None is strips."""

    pixels: Pixels
    description: str | None = None
    tile: int | None = 64
    compression: str | None = "jpeg"
    subfile: int = 0
    um: float | None = None
    xmp: str | None = None
    more: dict[str, Any] = field(default_factory=dict)


def write(path: Path, pages: Iterable[Page], *, bigtiff: bool = False, **first: Any) -> Path:
    """`first` is what only the first page says."""
    with tifffile.TiffWriter(path, bigtiff=bigtiff) as writer:
        for page in pages:
            options = {**page.more, **first}
            extra = list(options.pop("extratags", ()))
            if page.xmp is not None:
                extra.append((700, 1, len(page.xmp), page.xmp.encode(), True))
            if page.um is not None:
                options |= {"resolution": (10000 / page.um,) * 2, "resolutionunit": "CENTIMETER"}
            writer.write(
                page.pixels,
                tile=page.tile and (page.tile, page.tile),
                compression=page.compression,
                photometric="rgb" if page.pixels.ndim == 3 else "minisblack",
                description=page.description,
                subfiletype=page.subfile,
                metadata=None,
                extratags=extra,
                **options,
            )
            first = {}
    return path


def drop_tiles(path: Path, page: int, tiles: Sequence[int]) -> None:
    """Makes tiles missing: offset and byte count 0, as scanners do where they saw nothing."""
    with tifffile.TiffFile(path) as file:
        tags = [file.pages[page].tags[name] for name in ("TileOffsets", "TileByteCounts")]
        order = file.byteorder
    data = bytearray(path.read_bytes())
    for tag in tags:
        for number in tiles:
            code = {3: "H", 4: "I", 16: "Q"}[int(tag.dtype)]
            struct.pack_into(order + code, data, tag.valueoffset + number * struct.calcsize(code), 0)
    path.write_bytes(data)


def levels(base: Pixels, *factors: int) -> list[Pixels]:
    return [base, *(reduced(base, factor) for factor in factors)]


# Philips


def _attribute(name: str, value: str) -> str:
    return f'<Attribute Name="{name}" Group="0x0000" Element="0x0000" PMSVR="IString">{value}</Attribute>\n'


def _object(kind: str, content: str) -> str:
    return f'<DataObject ObjectType="{kind}">\n{content}</DataObject>\n'


def philips_description(
    spacings_mm: Sequence[float], pictures: Mapping[str, bytes], attributes: Mapping[str, str]
) -> str:
    """As the scanners write it: one slide, its levels with their spacings, and pictures in Base64 by their type."""
    representations = "".join(
        _object(
            "PixelDataRepresentation",
            _attribute("DICOM_PIXEL_SPACING", escape(f'"{mm:.9f}" "{mm:.9f}"'))
            + _attribute("PIIM_PIXEL_DATA_REPRESENTATION_NUMBER", str(number)),
        )
        for number, mm in enumerate(spacings_mm)
    )
    slide = (
        _attribute("PIM_DP_IMAGE_TYPE", "WSI")
        + _attribute("DICOM_PIXEL_SPACING", escape(f'"{spacings_mm[0]:.9f}" "{spacings_mm[0]:.9f}"'))
        + _attribute("DICOM_DERIVATION_DESCRIPTION", "tiff-useBigTIFF=0-useRgb=0-levels=40,10002-processing=0-q80")
        + _attribute("PIIM_PIXEL_DATA_REPRESENTATION_SEQUENCE", f"<Array>{representations}</Array>")
    )
    images = _object("DPScannedImage", slide) + "".join(
        _object(
            "DPScannedImage",
            _attribute("PIM_DP_IMAGE_TYPE", kind) + _attribute("PIM_DP_IMAGE_DATA", base64.encodebytes(data).decode()),
        )
        for kind, data in pictures.items()
    )
    told = "".join(_attribute(name, escape(value)) for name, value in attributes.items())
    content = told + _attribute("PIM_DP_SCANNED_IMAGES", f"<Array>{images}</Array>")
    return '<?xml version="1.0" encoding="UTF-8" ?>\n' + _object("DPUfsImport", content)


# Ventana


def iscan(**attributes: str) -> str:
    told = {"Magnification": "40", "ScanRes": "0.2325", "Z-layers": "1", **attributes}
    attributed = " ".join(f'{name}="{value}"' for name, value in told.items())
    return f"<?xml version='1.0'?><iScan {attributed}><AOI0/></iScan>"


def encode_info(columns: int, rows: int, tile: int, *, overlap: int = 0, frames: Sequence[str] = ()) -> str:
    """One area of tiles, whose joints are numbered as a snake from the lower left."""
    joints = [
        f'<TileJointInfo FlagJoined="1" Confidence="99" Direction="{direction}" Tile1="{snake(one, columns, rows)}" '
        f'Tile2="{snake(other, columns, rows)}" OverlapX="{overlap if direction == "RIGHT" else 0}" '
        f'OverlapY="{overlap if direction == "UP" else 0}"/>'
        for column in range(columns)
        for row in range(rows)
        for direction, one, other in (
            ("RIGHT", (column, row), (column + 1, row)),
            ("UP", (column, row), (column, row - 1)),
        )
        if other[0] < columns and other[1] >= 0
    ]
    area = f'<ImageInfo AOIScanned="1" AOIIndex="0" NumRows="{rows}" NumCols="{columns}" Width="{tile}" Height="{tile}"'
    listed = "".join(f'<Frame XY="{place}" Z="0" Focus="0"/>' for place in frames)
    return (
        f'<EncodeInfo Ver="2"><SlideStitchInfo>{area} Pos-X="0" Pos-Y="0">{"".join(joints)}{listed}</ImageInfo>'
        '</SlideStitchInfo><AoiOrigin><AOI0 OriginX="0" OriginY="0"/></AoiOrigin></EncodeInfo>'
    )


def snake(place: tuple[int, int], columns: int, rows: int) -> int:
    """Number of a tile: the first is the lower left, and every second row from below runs leftwards."""
    column, row = place
    from_below = rows - 1 - row
    return from_below * columns + (columns - 1 - column if from_below % 2 else column) + 1


# Leica


@dataclass
class ScnImage:
    """`view` is offset and size in nanometres; `dimensions` are width, height, r, c, z, ifd."""

    view: tuple[int, int, int, int]
    dimensions: Sequence[tuple[int, int, int, int, int, int]]
    illumination: str = "brightfield"
    channels: str = ""


def scn_description(images: Sequence[ScnImage], size: tuple[int, int] = (26_000_000, 76_000_000)) -> str:
    described = "".join(
        f'<image name="image_{number}"><creationDate>2011-11-02T12:34:56.789Z</creationDate>'
        '<device model="Leica SCN400;Leica SCN" version="1.5.1.10804 2011/06/29;1.5.1.10804 2011/06/29"/>'
        f'<pixels sizeX="{image.dimensions[0][0]}" sizeY="{image.dimensions[0][1]}">'
        + "".join(
            f'<dimension sizeX="{w}" sizeY="{h}" r="{r}" c="{c}" z="{z}" ifd="{ifd}"/>'
            for w, h, r, c, z, ifd in image.dimensions
        )
        + f'</pixels><view sizeX="{image.view[2]}" sizeY="{image.view[3]}" offsetX="{image.view[0]}" '
        f'offsetY="{image.view[1]}" spacingZ="1500"/><scanSettings><objectiveSettings><objective>20</objective>'
        "</objectiveSettings><illuminationSettings><numericalAperture>0.4</numericalAperture>"
        f"<illuminationSource>{image.illumination}</illuminationSource></illuminationSettings>"
        f"{image.channels}</scanSettings></image>"
        for number, image in enumerate(images)
    )
    return (
        '<?xml version="1.0"?><scn xmlns="http://www.leica-microsystems.com/scn/2010/10/01">'
        f'<collection name="c" sizeX="{size[0]}" sizeY="{size[1]}"><barcode>U0xJREUxMjM=</barcode>{described}'
        "</collection></scn>"
    )


# Akoya


def qpi_description(kind: str, **elements: str) -> str:
    """Says UTF-16 and is UTF-8, as the scanners' own. Keyword `X` is the content of element X, as XML."""
    content = "".join(f"  <{name}>{value}</{name}>\r\n" for name, value in elements.items())
    return (
        '<?xml version="1.0" encoding="utf-16"?>\r\n<PerkinElmer-QPI-ImageDescription>\r\n'
        f"  <DescriptionVersion>2</DescriptionVersion>\r\n  <ImageType>{kind}</ImageType>\r\n{content}"
        "</PerkinElmer-QPI-ImageDescription>"
    )
