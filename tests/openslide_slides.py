"""MIRAX, Hamamatsu VMS and VMU slides, written after their descriptions."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from skimage.data import immunohistochemistry

SIDE = 128  # of a MIRAX image
TISSUE = immunohistochemistry()
SCANNED = frozenset({(0, 0), (1, 0), (1, 1), (2, 1), (2, 2)})
"""The images, column and row of 4 x 3 or more, that the scanner stored."""


def mosaic(columns: int = 4) -> np.ndarray:
    """What the base level shows on white."""
    picture = np.full((3 * SIDE, columns * SIDE, 3), 255, np.uint8)
    for column, row in SCANNED:
        window = np.s_[row * SIDE : (row + 1) * SIDE, column * SIDE : (column + 1) * SIDE]
        picture[window] = TISSUE[window]
    return picture


def packed(pixels: np.ndarray, kind: str) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind)
    return stream.getvalue()


class Mirax:
    """A MIRAX dataset of two levels: Slidedat.ini, Index.dat, Data0000.dat, and the JPEG that stands for them.

    After https://openslide.org/formats/mirax/. With `shift`, the third column of camera positions lies that many pixels
    off its place in the grid.
    """

    def __init__(self, folder: Path, kind: str = "PNG", columns: int = 4, shift: int = 0) -> None:
        self.path = folder / "slide.mrxs"
        self.path.write_bytes(packed(TISSUE[:64, :64], "JPEG"))
        self.folder = folder / "slide"
        self.folder.mkdir()
        self._data = bytearray()
        base = [(columns * row + column, self._store(TISSUE, column, row, kind)) for column, row in sorted(SCANNED)]
        coarse = cv2.resize(mosaic(columns), None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        coarse = cv2.copyMakeBorder(coarse, 0, SIDE // 2, 0, 0, cv2.BORDER_CONSTANT, value=(255, 255, 255))
        places = sorted({(column // 2, row // 2) for column, row in SCANNED})
        level1 = [(2 * columns * row + 2 * column, self._store(coarse, column, row, kind)) for column, row in places]
        self.stored = {divmod(index, columns)[::-1]: where for index, where in base}
        positions = b"".join(
            struct.pack("<Bii", 0, column * SIDE + shift * (column == 2), row * SIDE)
            for row in range(3)
            for column in range(columns)
        )
        records = [self._append(positions)] if shift else []
        records += [self._append(packed(TISSUE[:90, :200], "JPEG")), self._append(packed(TISSUE[:50, :60], "JPEG"))]
        (self.folder / "Data0000.dat").write_bytes(self._data)
        (self.folder / "Index.dat").write_bytes(self._index([base, level1], records))
        (self.folder / "Slidedat.ini").write_text(self._ini(kind, columns, shift != 0), encoding="utf-8-sig")

    def _append(self, data: bytes) -> tuple[int, int]:
        self._data += data
        return len(self._data) - len(data), len(data)

    def _store(self, picture: np.ndarray, column: int, row: int, kind: str) -> tuple[int, int]:
        return self._append(packed(picture[row * SIDE : (row + 1) * SIDE, column * SIDE : (column + 1) * SIDE], kind))

    @staticmethod
    def _index(levels: list[list[tuple[int, tuple[int, int]]]], records: list[tuple[int, int]]) -> bytes:
        start = len("01.02MADE-HERE") + 8
        pages = b""  # follow the two tables of pointers

        def page(content: bytes) -> int:
            nonlocal pages
            at = start + 4 * (len(levels) + len(records)) + len(pages)
            pages += struct.pack("<ii", 0, at + 8) + content
            return at

        hierarchical = [
            page(struct.pack("<ii", len(level), 0) + b"".join(struct.pack("<iiii", n, *where, 0) for n, where in level))
            for level in levels
        ]
        others = [page(struct.pack("<7i", 1, 0, 0, 0, *where, 0)) for where in records]
        roots = struct.pack("<ii", start, start + 4 * len(levels))
        pointers = struct.pack(f"<{len(levels) + len(records)}i", *hierarchical, *others)
        return b"01.02MADE-HERE" + roots + pointers + pages

    @staticmethod
    def _ini(kind: str, columns: int, positions: bool) -> str:
        layers = [("VIMSLIDE_POSITION_BUFFER", ["default"])] if positions else []
        layers.append(("Scan data layer", ["ScanDataLayer_SlideThumbnail", "ScanDataLayer_SlideBarcode"]))
        lines = [
            "[GENERAL]", "SLIDE_VERSION=01.02", "SLIDE_ID=MADE-HERE", f"IMAGENUMBER_X={columns}", "IMAGENUMBER_Y=3",
            "OBJECTIVE_MAGNIFICATION=20", "CameraImageDivisionsPerSide=1",
            "[HIERARCHICAL]", "INDEXFILE=Index.dat", "HIER_COUNT=1", f"NONHIER_COUNT={len(layers)}",
            "HIER_0_NAME=Slide zoom level", "HIER_0_COUNT=2",
            *(f"HIER_0_VAL_{level}_SECTION=LAYER_0_LEVEL_{level}_SECTION" for level in range(2)),
        ]  # fmt: skip
        for number, (name, values) in enumerate(layers):
            lines += [f"NONHIER_{number}_NAME={name}", f"NONHIER_{number}_COUNT={len(values)}"]
            for value, what in enumerate(values):
                lines += [f"NONHIER_{number}_VAL_{value}={what}", f"NONHIER_{number}_VAL_{value}_SECTION=LAYER_{what}"]
        lines += [
            "[LAYER_ScanDataLayer_SlideThumbnail]", "THUMBNAIL_IMAGE_TYPE=JPEG",
            "[LAYER_ScanDataLayer_SlideBarcode]", "BARCODE_IMAGE_TYPE=JPEG",
            "[LAYER_default]", "VIMSLIDE_POSITION_DATA_FORMAT_VERSION=257",
            "[DATAFILE]", "FILE_COUNT=1", "FILE_0=Data0000.dat",
        ]  # fmt: skip
        for level in range(2):
            lines += [
                f"[LAYER_0_LEVEL_{level}_SECTION]", f"IMAGE_CONCAT_FACTOR={level}", "OVERLAP_X=0", "OVERLAP_Y=0",
                f"MICROMETER_PER_PIXEL_X={0.25 * 2**level}", f"MICROMETER_PER_PIXEL_Y={0.25 * 2**level}",
                "IMAGE_FILL_COLOR_BGR=16777215", f"DIGITIZER_WIDTH={SIDE}", f"DIGITIZER_HEIGHT={SIDE}",
                f"IMAGE_FORMAT={kind}",
            ]  # fmt: skip
        return "\n".join(lines)


def write_vms(folder: Path) -> Path:
    """Hamamatsu's JPEG form, with restart markers."""
    settings = [
        cv2.IMWRITE_JPEG_RST_INTERVAL,
        16,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
    ]
    for name, pixels in (("base.jpg", TISSUE), ("map.jpg", cv2.resize(TISSUE, (128, 128)))):
        assert cv2.imwrite(str(folder / name), pixels[:, :, ::-1], settings)
    path = folder / "slide.vms"
    path.write_text(
        "[Virtual Microscope Specimen]\nNoLayers=1\nNoJpegColumns=1\nNoJpegRows=1\nImageFile=base.jpg\n"
        "MapFile=map.jpg\nMacroImage=map.jpg\nPhysicalWidth=128000\nPhysicalHeight=128000\nSourceLens=20\n"
    )
    return path


def write_vmu(folder: Path) -> Path:
    """Hamamatsu's uncompressed form: 12 bits in 16, in columns."""
    for name, pixels in (("base.ngr", TISSUE[:384]), ("map.ngr", cv2.resize(TISSUE[:384], (128, 96)))):
        height, width, _ = pixels.shape
        columns = np.split(pixels.astype("<u2") << 4, width // 64, axis=1)
        header = b"GN\0\0" + struct.pack("<iiiiii", width, height, 64, 0, 0, 28)
        (folder / name).write_bytes(header + b"".join(column.tobytes() for column in columns))
    path = folder / "slide.vmu"
    path.write_text(
        "[Uncompressed Virtual Microscope Specimen]\nNoLayers=1\nImageFile=base.ngr\nMapFile=map.ngr\n"
        "BitsPerPixel=36\nPixelOrder=RGB\nPhysicalWidth=128000\nPhysicalHeight=96000\nSourceLens=40\n"
    )
    return path
