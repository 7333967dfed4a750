"""Every kind of TIFF in every compression, as tifffile, libtiff, libvips and OpenSlide decode it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import openslide
import pytest
import pyvips
import tifffile
from pydicom.dataset import Dataset

from tests.dicom_series import GRAY, GRAY_16, RGB, Kind, Series, write_series
from tests.foreign_series import Picture, native_frames, save_native
from wsi_dicom.codecs.compression import Compression
from wsi_dicom.codecs.transfer_syntaxes import EXPLICIT_VR_LITTLE_ENDIAN, JPEG_2000_LOSSLESS
from wsi_dicom.convert import TiffOptions, dicom_to_tiff
from wsi_dicom.errors import CodecError, UnsupportedFormat
from wsi_dicom.geometry import PixelFormat
from wsi_dicom.plan import PlanOptions
from wsi_dicom.slide import Encoding, ImageFlavor, Pixels
from wsi_dicom.sources import open_slide
from wsi_dicom.tiff.flavors import Flavor

FORMATS = {"colour": RGB, "gray": GRAY, "gray-16": GRAY_16}
JPEG_2000 = frozenset({Compression.JPEG2000, Compression.JPEG2000_LOSSY})
COMPRESSIONS = [
    *(Compression.NONE, Compression.JPEG, Compression.LZW, Compression.DEFLATE, Compression.ZSTD, Compression.WEBP),
    *sorted(JPEG_2000),
]


def held(flavor: Flavor, pixel_format: PixelFormat, compression: Compression) -> bool:
    """What each kind of TIFF can hold, so that those who are told to read it can."""
    if compression is Compression.WEBP and pixel_format != RGB:
        return False
    if compression is Compression.JPEG and pixel_format.bits != 8:
        return False
    if flavor is not Flavor.SVS:
        return True
    if compression in (Compression.ZSTD, Compression.WEBP) or pixel_format.bits != 8:
        return False
    return pixel_format == RGB or compression not in JPEG_2000


CASES = [(flavor, name, compression) for flavor in Flavor for name in FORMATS for compression in COMPRESSIONS]
HELD = [case for case in CASES if held(case[0], FORMATS[case[1]], case[2])]
REFUSED = [case for case in CASES if case not in HELD]


@pytest.fixture(scope="module")
def lossless(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Series]:
    """Two levels and three pictures, without compression."""
    made = {}
    for name, pixel_format in FORMATS.items():
        photometric = "RGB" if pixel_format == RGB else "MONOCHROME2"
        kind = Kind(name, Encoding(EXPLICIT_VR_LITTLE_ENDIAN, photometric), pixel_format, exact=True)
        made[name] = write_series(tmp_path_factory.mktemp(name), kind, Dataset())
    return made


def export(series: Path, output: Path, flavor: Flavor, **plan: object) -> Path:
    with open_slide(series) as slide:
        dicom_to_tiff(slide, output, TiffOptions(plan=PlanOptions(**plan), flavor=flavor))
    return output


def assert_shows(shown: np.ndarray, picture: Pixels, *, exact: bool = False) -> None:
    """The same pixels, or, after a lossy compression, nearly."""
    pixels = np.asarray(shown).reshape(picture.shape)
    if exact:
        np.testing.assert_array_equal(pixels, picture)
    whitest = np.iinfo(picture.dtype).max
    assert pixels.dtype == picture.dtype
    assert np.abs(pixels.astype(float) - picture).mean() < 0.018 * whitest


@pytest.mark.parametrize(("flavor", "name", "compression"), HELD)
def test_readers(
    lossless: dict[str, Series],
    flavor: Flavor,
    name: str,
    compression: Compression,
    tmp_path: Path,
    tool: Callable[[str], str],
) -> None:
    """Who does not read what: libtiff and libvips no JPEG 2000; OpenSlide that in SVS only, and no WebP.

    OpenSlide shows 8 bits only; the libvips of the wheel was built without Zstandard.
    """
    series, output = lossless[name], tmp_path / "out.tif"
    base, coarser = (series.pictures[ImageFlavor.VOLUME, resampled] for resampled in (False, True))
    export(series.folder, output, flavor, compression=compression)
    with tifffile.TiffFile(output) as tiff:
        levels = tiff.series[0].levels
        assert_shows(levels[0].asarray(), base, exact=compression.lossless)
        assert_shows(levels[1].asarray(), coarser, exact=compression.lossless)

    unread = [] if compression in JPEG_2000 else [[tool("tiffcp"), "-c", "none", output, tmp_path / "decoded.tif"]]
    for command in ([tool("tiffinfo"), "-s", output], *unread):
        said = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (said.returncode, said.stderr) == (0, "")

    if compression not in JPEG_2000 | {Compression.ZSTD}:
        assert_shows(
            pyvips.Image.new_from_file(str(output), fail_on="warning").numpy(), base, exact=compression.lossless
        )

    by_openslide = compression is not Compression.WEBP and (flavor is Flavor.SVS or compression not in JPEG_2000)
    if by_openslide and series.kind.pixel_format.bits == 8:
        with openslide.OpenSlide(output) as slide:
            assert slide.level_count == (1 if flavor is Flavor.OME else 2)
            shown = np.asarray(slide.read_region((0, 0), 0, slide.dimensions))[:, :, : base.shape[2]]
        assert_shows(shown, base, exact=compression.lossless)


@pytest.mark.parametrize(("flavor", "name", "compression"), REFUSED)
def test_what_cannot_be_held_is_refused(
    lossless: dict[str, Series], flavor: Flavor, name: str, compression: Compression, tmp_path: Path
) -> None:
    with pytest.raises(
        (CodecError, UnsupportedFormat), match=r"choose (another compression|--flavor tiff or ome)$"
    ) as said:
        export(lossless[name].folder, tmp_path / "out.tif", flavor, compression=compression)
    assert "\n" not in str(said.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("flavor", Flavor)
def test_labels_lose_nothing_in_any_compression(lossless: dict[str, Series], flavor: Flavor, tmp_path: Path) -> None:
    series, output = lossless["colour"], tmp_path / "out.tif"
    export(series.folder, output, flavor, compression=Compression.JPEG)
    with tifffile.TiffFile(output) as tiff:
        shown = {page.shape: page.asarray() for page in tiff.pages if not page.is_tiled}
    for picture in (ImageFlavor.LABEL, ImageFlavor.OVERVIEW):
        (kept,) = (pixels for (kind, _), pixels in series.pictures.items() if kind is picture)
        np.testing.assert_array_equal(shown[kept.shape], kept)


@pytest.mark.parametrize(("name", "stored_as"), [("gray", "MONOCHROME2"), ("colour", "YBR_RCT")])
def test_jpeg_2000_in_svs(lossless: dict[str, Series], name: str, stored_as: str, tmp_path: Path) -> None:
    """Copied where OpenSlide decodes it: gray becomes what loses nothing either."""
    kind = Kind(name, Encoding(JPEG_2000_LOSSLESS, stored_as), FORMATS[name], exact=True)
    (tmp_path / "series").mkdir()
    series = write_series(tmp_path / "series", kind, Dataset())
    output = export(series.folder, tmp_path / "out.svs", Flavor.SVS)
    with tifffile.TiffFile(output) as tiff, openslide.OpenSlide(output) as slide:
        number = {"gray": tifffile.COMPRESSION.ADOBE_DEFLATE, "colour": tifffile.COMPRESSION.APERIO_JP2000_RGB}[name]
        assert tiff.pages[0].compression == number
        assert slide.properties["openslide.vendor"] == "aperio"
        base = series.pictures[ImageFlavor.VOLUME, False]
        assert_shows(
            np.asarray(slide.read_region((0, 0), 0, slide.dimensions))[:, :, : base.shape[2]], base, exact=True
        )


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"])
@pytest.mark.parametrize(("kind", "samples", "planar"), [("u1", 3, 0), ("u1", 3, 1), ("u2", 1, 0)])
def test_uncompressed_series(kind: str, samples: int, planar: int, syntax: str, tmp_path: Path) -> None:
    """Also those whose samples lie in another order than in TIFF: big endian, plane by plane."""
    frames = native_frames(6, kind=kind, samples=samples)
    stored = frames.transpose(0, 3, 1, 2).reshape(frames.shape) if planar else frames
    big = syntax.endswith("1.2.2")
    (tmp_path / "series").mkdir()
    picture = Picture(attributes={"PlanarConfiguration": planar} if samples == 3 else {})
    save_native(tmp_path / "series" / "a.dcm", picture, stored.astype(stored.dtype.newbyteorder("><"[not big])), syntax)
    output = export(tmp_path / "series", tmp_path / "out.tif", Flavor.TIFF, compression=Compression.NONE)
    whole = np.vstack([np.hstack(list(frames[row : row + 3])) for row in (0, 3)])
    np.testing.assert_array_equal(
        tifffile.imread(output).reshape(picture.height, picture.width, samples),
        whole[: picture.height, : picture.width],
    )


@pytest.mark.parametrize("quality", [30, 95])
@pytest.mark.parametrize("compression", [Compression.JPEG, Compression.JPEG2000_LOSSY, Compression.WEBP])
def test_quality_counts(lossless: dict[str, Series], compression: Compression, quality: int, tmp_path: Path) -> None:
    folder, made = lossless["colour"].folder, {chosen: tmp_path / f"{chosen}.tif" for chosen in (60, quality)}
    for chosen, path in made.items():
        export(folder, path, Flavor.TIFF, compression=compression, quality=chosen)
    picture = lossless["colour"].pictures[ImageFlavor.VOLUME, False]
    error = {chosen: np.abs(tifffile.imread(path).astype(float) - picture).mean() for chosen, path in made.items()}
    assert (error[quality] < error[60]) == (quality > 60)
    assert (made[quality].stat().st_size > made[60].stat().st_size) == (quality > 60)
