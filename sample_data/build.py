"""Builds the sample slides from scikit-image's immunohistochemistry picture: `python sample_data/build.py`.

`ihc-8k.svs` is laid out as Aperio does it, `ihc-small.tif` is a plain tiled TIFF. The same input gives the same bytes
with the same versions of the libraries. README.md says where the picture is from.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from imagecodecs import jpeg8_encode, lzw_encode
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageDraw, ImageFont
from skimage.data import immunohistochemistry

Picture = NDArray[np.uint8]
Plane = NDArray[np.float32]

FOLDER: Final = Path(__file__).resolve().parent
SIDE: Final = 8192
TILE: Final = 256
QUALITY: Final = 72
COARSE: Final = 512
SOI, EOI = b"\xff\xd8", b"\xff\xd9"


def stained() -> Picture:
    """512 x 512 pixels of colonic glands, in red, green and blue."""
    return np.asarray(immunohistochemistry(), np.uint8)  # type: ignore[no-untyped-call]  # scikit-image has no types


def shrunk(picture: Picture, width: int, height: int) -> Picture:
    return np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def smooth_noise(rng: np.random.Generator, sigma: float) -> Plane:
    """Random hills of 0 to 1 on a coarse grid."""
    noise = cv2.GaussianBlur(rng.random((COARSE, COARSE), dtype=np.float32), (0, 0), sigma)
    low, high = float(noise.min()), float(noise.max())
    return ((noise - low) / (high - low)).astype(np.float32)


def tissue(side: int) -> Picture:
    """A section of tissue on glass: the picture, bent and mirrored without end, within an organic outline."""
    source = stained()
    rng = np.random.default_rng(20)
    y, x = np.mgrid[0:COARSE, 0:COARSE].astype(np.float32) / COARSE - 0.5
    broad, fine = smooth_noise(rng, 40), smooth_noise(rng, 5)
    bent_x, bent_y = (900 * (smooth_noise(rng, 26) - 0.5) for _ in range(2))
    outer = np.hypot((x + 0.5 * y) / 0.46, (y - 0.3 * x) / 0.40) + 0.5 * (broad - 0.5) + 0.1 * (fine - 0.5) - 0.95
    lumen = 0.11 + 0.09 * fine - np.hypot(x - 0.06, (y + 0.05) * 1.4)
    inside = np.maximum(outer, lumen).astype(np.float32)  # below 0: tissue
    shade = 0.9 + 0.16 * broad

    glass = np.array([244, 243, 245], np.float32)
    result = np.empty((side, side, 3), np.uint8)
    columns = np.arange(side, dtype=np.float32)[None, :]
    coarse = (inside, shade, bent_x, bent_y)
    fields = [cv2.resize(plane, (side, side), interpolation=cv2.INTER_CUBIC) for plane in coarse]
    for top in range(0, side, TILE):
        band = slice(top, top + TILE)
        edge, light, shift_x, shift_y = (plane[band] for plane in fields)
        rows = np.arange(top, top + TILE, dtype=np.float32)[:, None]
        map_x, map_y = 0.94 * columns - 0.34 * rows + shift_x, 0.34 * columns + 0.94 * rows + shift_y
        pixels = cv2.remap(source, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
        alpha = 1 / (1 + np.exp(np.clip(edge * 900, -30, 30)))[:, :, None]
        lit = np.clip(pixels * light[:, :, None], 0, 255)
        result[band] = np.rint(lit * alpha + glass * (1 - alpha)).astype(np.uint8)
    return result


def written(lines: list[str], width: int, height: int, ink: tuple[int, int, int] = (30, 30, 40)) -> Image.Image:
    """Text on a paper label. The font is Pillow's own, so that it is the same everywhere."""
    paper = Image.new("RGB", (width, height), (248, 246, 238))
    pen = ImageDraw.Draw(paper)
    pen.rectangle((6, 6, width - 7, height - 7), outline=ink, width=2)
    for number, line in enumerate(lines):
        pen.text(
            (24, 24 + number * height // (len(lines) + 1)), line, fill=ink, font=ImageFont.load_default(height // 12)
        )
    return paper


def label() -> Image.Image:
    return written(["SAMPLE SLIDE", "IHC, colon, DAB", "block A1-03", "not a patient", "wsi-dicom"], 400, 440)


def macro(slide: Picture) -> Image.Image:
    """The glass slide as the scanner's camera sees it: label at the left, section at the right."""
    glass = Image.new("RGB", (1280, 431), (226, 228, 230))
    glass.paste(label().resize((380, 418), Image.Resampling.LANCZOS), (6, 6))
    section = Image.fromarray(shrunk(slide, 400, 400))
    glass.paste(section, (640, 16))
    pen = ImageDraw.Draw(glass)
    pen.line((392, 0, 392, 431), fill=(190, 194, 198), width=3)
    pen.rectangle((638, 14, 1041, 417), outline=(30, 130, 60), width=2)
    return glass


def jpeg(picture: Picture, quality: int = QUALITY) -> bytes:
    return bytes(jpeg8_encode(picture, level=quality, subsampling="420"))


def abbreviated(stream: bytes) -> tuple[bytes, bytes]:
    """Splits a JPEG stream into its tables and the rest without JFIF, each a stream of its own (T.81 B.5)."""
    tables, rest, position = b"", b"", 2
    while stream[position + 1] != 0xDA:
        end = position + 2 + int.from_bytes(stream[position + 2 : position + 4], "big")
        if stream[position + 1] in (0xDB, 0xC4):
            tables += stream[position:end]
        elif stream[position + 1] != 0xE0:
            rest += stream[position:end]
        position = end
    return SOI + tables + EOI, SOI + rest + stream[position:]


@dataclass
class Page:
    """One TIFF directory: fields (tag, type, values), and the tiles or strips they point to."""

    fields: dict[int, tuple[int, Any]]
    tiled: bool
    segments: list[bytes] = field(default_factory=list)


def describe(page: Page, picture: Picture, description: str) -> None:
    height, width = picture.shape[:2]
    text = description.encode() + b"\0"
    page.fields |= {
        256: (4, [width]),
        257: (4, [height]),
        258: (3, [8, 8, 8]),
        270: (2, text),
        277: (3, [3]),
        284: (3, [1]),
    }


def tiled_jpeg(picture: Picture, tile: int, description: str, **extra: tuple[int, Any]) -> Page:
    """A page of JPEG tiles with shared tables; the tiles at the edges repeat the last pixels."""
    page = Page(
        {254: (4, [0]), 259: (3, [7]), 262: (3, [6]), 322: (3, [tile]), 323: (3, [tile]), 530: (3, [2, 2])}, True
    )
    describe(page, picture, description)
    page.fields |= {int(tag[1:]): value for tag, value in extra.items()}
    height, width = picture.shape[:2]
    padded = np.pad(picture, ((0, -height % tile), (0, -width % tile), (0, 0)), mode="edge")
    for y in range(0, height, tile):
        for x in range(0, width, tile):
            tables, body = abbreviated(jpeg(np.ascontiguousarray(padded[y : y + tile, x : x + tile])))
            page.segments.append(body)
            page.fields[347] = (7, tables)
    return page


def strips(picture: Picture, rows: int, kind: int, description: str, *, lossless: bool) -> Page:
    """A page of strips: JPEG with shared tables, or LZW with differences."""
    page = Page({254: (4, [kind]), 259: (3, [5 if lossless else 7]), 262: (3, [2 if lossless else 6])}, False)
    describe(page, picture, description)
    page.fields[278] = (4, [rows])
    for y in range(0, picture.shape[0], rows):
        strip = np.ascontiguousarray(picture[y : y + rows])
        if lossless:
            page.fields[317] = (3, [2])
            differences = strip.copy()
            differences[:, 1:] -= strip[:, :-1]
            page.segments.append(bytes(lzw_encode(differences.tobytes())))
        else:
            tables, body = abbreviated(jpeg(strip, 80))
            page.segments.append(body)
            page.fields |= {347: (7, tables), 530: (3, [2, 2])}
    return page


def write(path: Path, pages: list[Page]) -> None:
    """Little endian TIFF: segments first, each page's directory after them, as Aperio does."""
    codes = {2: "", 3: "H", 4: "I", 5: "I", 7: ""}
    with path.open("wb") as out:
        out.write(b"II*\0\0\0\0\0")
        link = 4
        for page in pages:
            offsets = []
            for segment in page.segments:
                offsets.append(out.tell())
                out.write(segment + b"\0" * (len(segment) % 2))
            page.fields[324 if page.tiled else 273] = (4, offsets)
            page.fields[325 if page.tiled else 279] = (4, [len(segment) for segment in page.segments])
            entries = []
            for tag, (kind, values) in sorted(page.fields.items()):
                content = values if isinstance(values, bytes) else struct.pack(f"<{len(values)}{codes[kind]}", *values)
                count = len(values) // (2 if kind == 5 else 1)
                if len(content) > 4:
                    pointer = struct.pack("<I", out.tell())
                    out.write(content + b"\0" * (len(content) % 2))
                else:
                    pointer = content.ljust(4, b"\0")
                entries.append(struct.pack("<HHI", tag, kind, count) + pointer)
            directory = out.tell()
            out.write(struct.pack("<H", len(entries)) + b"".join(entries) + b"\0\0\0\0")
            end = out.tell()
            out.seek(link)
            out.write(struct.pack("<I", directory))
            out.seek(end)
            link = end - 4


def build_svs(path: Path) -> None:
    slide = tissue(SIDE)
    program = "Aperio Image Library v12.0.15"
    properties = (
        "|AppMag = 40|StripeWidth = 2040|ScanScope ID = SAMPLE01|Filename = ihc-8k|Date = 03/14/24|Time = 15:09:26"
        "|MPP = 0.2500|Left = 20.0|Top = 18.0|ImageID = 1003|OriginalWidth = 8192|OriginalHeight = 8192"
    )
    size = f"{SIDE}x{SIDE} [0,0 {SIDE}x{SIDE}] ({TILE}x{TILE})"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    # the moment of creation is part of a profile: one moment, so that each build is the same
    profile = profile[:24] + struct.pack(">6H", 2024, 3, 14, 15, 9, 26) + profile[36:]
    small = shrunk(slide, 768, 768)
    pages = [
        tiled_jpeg(slide, TILE, f"{program}\r\n{size} JPEG/YCC Q={QUALITY}{properties}", t34675=(7, profile)),
        strips(small, 16, 0, f"{program}\r\n{SIDE}x{SIDE} -> 768x768 - {properties}", lossless=False),
    ]
    for factor in (4, 16):
        level = shrunk(slide, SIDE // factor, SIDE // factor)
        text = f"{program}\r\n{size} -> {SIDE // factor}x{SIDE // factor} JPEG/YCC Q={QUALITY}{properties}"
        pages.append(tiled_jpeg(level, TILE, text))
    pages += [
        strips(np.asarray(label()), 8, 1, f"{program}\r\nlabel 400x440", lossless=True),
        strips(np.asarray(macro(slide)), 16, 9, f"{program}\r\nmacro 1280x431", lossless=False),
    ]
    write(path, pages)


def build_small(path: Path) -> None:
    """A pyramid of two levels whose last column and row of tiles are not full; half a micrometre per pixel."""
    source = stained()
    whole = np.concatenate([source, source[:, ::-1]], axis=1)
    whole = np.ascontiguousarray(np.concatenate([whole, whole[::-1]], axis=0)[:777, :1001])
    half = shrunk(whole, 500, 388)
    resolution = {"t282": (5, [20000, 1]), "t283": (5, [20000, 1]), "t296": (3, [3])}
    pages = [tiled_jpeg(whole, 128, "", **resolution), tiled_jpeg(half, 128, "", t254=(4, [1]))]
    write(path, pages)


if __name__ == "__main__":
    build_svs(FOLDER / "ihc-8k.svs")
    build_small(FOLDER / "ihc-small.tif")
    for file in (FOLDER / "ihc-8k.svs", FOLDER / "ihc-small.tif"):
        print(f"{file.name}: {file.stat().st_size / 1e6:.1f} MB")
