"""OME-TIFF with documents of our own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from skimage.data import immunohistochemistry

PICTURE: np.ndarray = immunohistochemistry()  # type: ignore[no-untyped-call]
GRAY = PICTURE[:200, :300, 0]
NAMESPACE = "http://www.openmicroscopy.org/Schemas/OME/2016-06"


def stack(shape: tuple[int, ...], kind: type[np.unsignedinteger] = np.uint8) -> np.ndarray:
    """Planes of `GRAY`, each moved and shaded otherwise: shape (*shape, 200, 300)."""
    planes = [np.roll(GRAY, 11 * number, 1) // 2 + 9 * number for number in range(int(np.prod(shape)))]
    return np.array(planes).reshape(*shape, *GRAY.shape).astype(kind)


def ome(*images: str, before: str = "", attributes: str = "") -> str:
    return (
        f'<?xml version="1.0" encoding="UTF-8"?><OME xmlns="{NAMESPACE}" {attributes}>{before}{"".join(images)}</OME>'
    )


def pixels_of(kind: str, width: int, height: int, *, name: str = "main", more: str = "", **pixels: Any) -> str:
    """An image of the document. `pixels`: sizes c, z, t, their `order`, further `attributes`, and what is `inner`."""
    told = {"c": 1, "z": 1, "t": 1, "order": "XYCZT", "attributes": "", "inner": "<TiffData/>", **pixels}
    return (
        f'<Image ID="Image:{name}" Name="{name}">{more}<Pixels ID="Pixels:{name}" DimensionOrder="{told["order"]}" '
        f'Type="{kind}" SizeX="{width}" SizeY="{height}" SizeC="{told["c"]}" SizeZ="{told["z"]}" SizeT="{told["t"]}" '
        f"{told['attributes']}>{told['inner']}</Pixels></Image>"
    )


def write(path: Path, document: str, *pages: np.ndarray, **options: Any) -> Path:
    """A TIFF of these pages; the first has the document."""
    with tifffile.TiffWriter(path) as out:
        for number, page in enumerate(pages):
            photometric = "rgb" if page.ndim == 3 else "minisblack"
            described = {"description": document.encode()} if number == 0 else {}
            out.write(page, **{"tile": (64, 64), "photometric": photometric, "metadata": None, **described, **options})
    return path


def set_document(members: list[tuple[str, str, np.ndarray]], attributes: str = "") -> str:
    runs = "".join(
        f'<TiffData FirstC="{n}" IFD="0" PlaneCount="1"><UUID FileName="{name}">{identifier}</UUID></TiffData>'
        for n, (name, identifier, _) in enumerate(members)
    )
    return ome(pixels_of("uint8", 300, 200, c=len(members), inner=runs), attributes=attributes)


def write_set(folder: Path, members: list[tuple[str, str, np.ndarray]]) -> list[Path]:
    """Each file has the whole document, and a UUID of its own."""
    return [
        write(folder / name, set_document(members, f'UUID="{identifier}"'), plane)
        for name, identifier, plane in members
    ]
