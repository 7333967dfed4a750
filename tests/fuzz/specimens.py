"""Small slides of every format that we can make or have at hand, by kind: what is then broken."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import tifffile

from benchmarks.build_ndpi import SLONG, NdpiPage, encode_stripes, tissue, write_ndpi
from tests import (
    ome_document,
    test_sources_aperio,
    test_sources_czi,
    test_sources_huron,
    test_sources_leica_scn,
    test_sources_motic,
    test_sources_philips,
    test_sources_pictures,
    test_sources_qptiff,
    test_sources_tiff,
    test_sources_trestle,
    test_sources_ventana,
    tiff_ways,
)
from tests.fuzz import dicom_specimens
from tests.fuzz.trial import COMPRESSIONS
from tests.openslide_slides import Mirax, write_vms, write_vmu
from tests.vendor_tiffs import drop_tiles, picture
from wsi_dicom.codecs.compression import Compression
from wsi_dicom.convert import DicomizeOptions, UidChoice, dicomize
from wsi_dicom.plan import PlanOptions
from wsi_dicom.stores.folder import FolderStore

Maker = Callable[[Path], Path]
"""Makes a slide in an empty folder; gives what is to be opened: a file, or the folder itself."""


def _tiff(way: str, folder: Path) -> Path:
    tiff_ways.write_way(folder / "slide.tif", way)
    return folder / "slide.tif"


def _pyramid(folder: Path) -> Path:
    path = folder / "slide.tif"
    shutil.copy(test_sources_tiff.SAMPLE, path)
    return path


def _svs_jpeg2000(folder: Path) -> Path:
    path, pixels = folder / "slide.svs", picture(400, 300)
    tifffile.imwrite(
        path, pixels, tile=(128, 128), compression="aperio_jp2000_rgb", photometric="rgb", metadata=None,
        description=test_sources_aperio.HEADER + "400x300 (128x128) J2K/KDU Q=70|AppMag = 20|MPP = 0.5",
        compressionargs={"codecformat": "j2k", "reversible": True, "mct": True},
    )  # fmt: skip
    return path


def _ndpi(folder: Path) -> Path:
    """Two levels, a macro image, and restart intervals with and without their places told."""
    base, half, macro = (
        encode_stripes(tissue(*size), mcus, "4:2:0") for size, mcus in (((256, 192), 8), ((128, 96), 0), ((64, 48), 0))
    )
    pages = [
        NdpiPage(256, 192, base.parts(), base.starts(), 40.0),
        NdpiPage(128, 96, half.parts(), None, 20.0),
        NdpiPage(64, 48, macro.parts(), None, -1.0),
    ]
    write_ndpi(folder / "slide.ndpi", pages)
    return folder / "slide.ndpi"


def _ndpi_stack(folder: Path) -> Path:
    """Three focal planes."""
    streams = [encode_stripes(tissue(256, 192)[:, :: 1 - 2 * (z == 0)], 8, "4:2:0") for z in (-1, 0, 1)]
    pages = [
        NdpiPage(256, 192, stream.parts(), stream.starts(), 20.0, {65424: (SLONG, [z * 1000])})
        for stream, z in zip(streams, (-1, 0, 1), strict=True)
    ]
    write_ndpi(folder / "slide.ndpi", pages)
    return folder / "slide.ndpi"


def _sparse_philips(folder: Path) -> Path:
    path = test_sources_philips.make(folder / "slide.tiff")
    drop_tiles(path, 0, [0, 1, 5, 6, 10, 11, 12])
    return path


def _ome_planes(folder: Path) -> Path:
    """Two channels of two focal planes, with SubIFDs."""
    path, pixels = folder / "slide.ome.tif", ome_document.stack((2, 2), np.uint16)
    same: dict[str, Any] = {"tile": (64, 64), "compression": "zlib", "photometric": "minisblack"}
    with tifffile.TiffWriter(path, ome=True) as out:
        out.write(pixels, subifds=1, metadata={"axes": "CZYX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.25}, **same)
        out.write(pixels[:, :, ::2, ::2], subfiletype=1, **same)
    return path


def _ome_set(folder: Path) -> Path:
    channels = enumerate(ome_document.stack((3,)))
    members = [(f"part{n}.ome.tif", f"urn:uuid:{uuid.UUID(int=n + 1)}", plane) for n, plane in channels]
    return ome_document.write_set(folder, members)[0]


def _mirax(kind: str, shift: int, folder: Path) -> Path:
    return Mirax(folder, kind, shift=shift).path


def _series(source: Maker, options: DicomizeOptions, folder: Path) -> Path:
    """The DICOM series of another specimen: the folder."""
    made = folder / "made"
    made.mkdir()
    dicomize(source(made), FolderStore(folder / "series"), options)
    shutil.rmtree(made)
    for file in (folder / "series").iterdir():
        file.rename(folder / file.name)
    (folder / "series").rmdir()
    return folder


def _in(compression: Compression, **more: Any) -> DicomizeOptions:
    plan = PlanOptions(pyramid=True, compression=compression, tile_width=64, tile_height=64)
    return DicomizeOptions(plan=plan, uids=UidChoice.DETERMINISTIC, **more)


def _picture(data: bytes, folder: Path) -> Path:
    (folder / "picture").write_bytes(data)
    return folder / "picture"


def _copied(source: Path, folder: Path) -> Path:
    """A real slide: a file, or a folder of them."""
    if source.is_file():
        return Path(shutil.copy(source, folder))
    shutil.copytree(source, folder, dirs_exist_ok=True)
    return folder


def _series_in_every_compression() -> dict[str, Maker]:
    source = partial(_tiff, "lzw, predictor")
    return {str(compression): partial(_series, source, _in(compression)) for compression in COMPRESSIONS}


def _pictures() -> dict[str, bytes]:
    lossless = {name: bytes(data) for name, (data, _) in test_sources_pictures.LOSSLESS.items()}
    tissue_, saved = test_sources_pictures.TISSUE, test_sources_pictures.saved
    return lossless | {
        "jpeg": saved(tissue_, "JPEG"),
        "jpeg progressive": saved(tissue_, "JPEG", progressive=True),
        "jpeg gray": saved(test_sources_pictures.GRAY, "JPEG"),
        "webp lossy": saved(tissue_, "WEBP"),
        "jpeg 2000 lossy": bytes(imagecodecs.jpeg2k_encode(tissue_, level=40, reversible=False, codecformat="j2k")),
        "png translucent": saved(test_sources_pictures.TRANSLUCENT, "PNG"),
    }


SMALL_REAL = (
    "aperio/CMU-1-Small-Region.svs",
    "dicom_wsi/cytomine_cmu1",
    "dicom_wsi/gcp_single/bone_jpeg.dcm",
    "dicom_wsi/highdicom/sm_image.dcm",
    "dicom_wsi/highdicom/sm_image_jpegls.dcm",
    "generic_tiff/empaia_CMU-small.tiff",
    "generic_tiff/wsic_XYC-half-mpp.tiff",
    "hamamatsu/test3-DAPI-2-(387).ndpi",
    "ome_tiff/OS-2-ndpi.ome.tif",
    "ome_tiff/XYC_bfconvert_LZW.ome.tiff",
    "ome_tiff/multi-channel-z-series.ome.tif",
)


def _named(make: Callable[[Path], Any], name: str) -> Maker:
    def made(folder: Path) -> Path:
        make(folder / name)
        return folder / name

    return made


def makers(real: Path | None) -> dict[str, Mapping[str, Maker]]:
    """By kind and name. `real` is the folder of real slides, if there is one."""
    philips, ventana, leica = test_sources_philips, test_sources_ventana, test_sources_leica_scn
    kinds: dict[str, Mapping[str, Maker]] = {
        "tiff": {"pyramid": _pyramid} | {way: partial(_tiff, way) for way in tiff_ways.WAYS},
        "svs": {"jpeg": _named(test_sources_aperio.write_svs, "slide.svs"), "jpeg 2000": _svs_jpeg2000},
        "ndpi": {"levels": _ndpi, "focal planes": _ndpi_stack},
        "philips": {"whole": _named(philips.make, "slide.tiff"), "sparse": _sparse_philips},
        "ventana": {"bif": _named(ventana.make, "slide.bif")},
        "leica": {
            "brightfield": _named(leica.brightfield, "slide.scn"),
            "planes": _named(leica.planes, "slide.scn"),
        },
        "qptiff": {"fluorescence": _named(test_sources_qptiff.fluorescence, "slide.qptiff")},
        "huron": {"whole": _named(test_sources_huron.make, "slide.tif")},
        "motic": {"whole": _named(test_sources_motic.make, "slide.tif")},
        "trestle": {"whole": _named(test_sources_trestle.make, "slide.tif")},
        "ome": {"planes": _ome_planes, "set": _ome_set},
        "czi": {
            "colour": lambda folder: test_sources_czi.write(folder / "slide.czi", samples=3),
            "planes": lambda folder: test_sources_czi.write(
                folder / "slide.czi", channels=2, focal_planes=2, kind=np.uint16, compression="zstd1:ExplicitLevel=3"
            ),
        },
        "openslide": {
            "mirax": partial(_mirax, "PNG", 0),
            "mirax, moved": partial(_mirax, "JPEG", 5),
            "vms": write_vms,
            "vmu": write_vmu,
        },
        "picture": {name: partial(_picture, data) for name, data in _pictures().items()},
        "dicom": {
            "sparse": partial(_series, partial(_mirax, "PNG", 0), _in(Compression.JPEG)),
            "split": partial(_series, _ndpi, _in(Compression.JPEG, largest_instance=20_000)),
            "planes": partial(_series, _ome_planes, _in(Compression.JPEG2000)),
            **_series_in_every_compression(),
        },
        "dicom encodings": dicom_specimens.encodings(),
        "dicom layouts": dicom_specimens.layouts(),
        "dicom media": dicom_specimens.media(),
    }
    if real is not None:
        kinds["real"] = {name: partial(_copied, real / name) for name in SMALL_REAL}
    return kinds
