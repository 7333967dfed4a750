"""Philips TIFF against OpenSlide: files made here, as no real one is at hand."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import numpy as np
import openslide
import pytest
from PIL import Image

from tests.contracts.source_contract import CopiedJpegContract, OpenslideReader, SourceContract
from tests.vendor_tiffs import Page, drop_tiles, jpeg, levels, padded, philips_description, picture, write
from wsi_dicom.errors import CorruptInput, UnsupportedFormat
from wsi_dicom.slide import ImageFlavor
from wsi_dicom.sources import open_slide

TILE = 64
TOLD = {
    "DICOM_ACQUISITION_DATETIME": "20160718122300.000000",
    "DICOM_DEVICE_SERIAL_NUMBER": "FMT0107",
    "DICOM_MANUFACTURER": "PHILIPS",
    "DICOM_MANUFACTURERS_MODEL_NAME": "UFS Scanner",
    "DICOM_SOFTWARE_VERSIONS": '"1.6.6186" "20150402_R48" "4.0.3"',
    "PIM_DP_UFS_BARCODE": "TEFCRUwwMDAx",
}
LABEL, MACRO = jpeg(picture(120, 90)), jpeg(picture(200, 80))


def make(
    path: Path,
    *,
    more_columns: int = 0,
    pages: tuple[Page, ...] = (),
    description: str = "",
    spacings_um: tuple[float, ...] = (0.25, 0.5, 1.0, 2.0),
) -> Path:
    """320 x 192 pixels, 5 x 3 tiles, and three coarser levels, each padded to whole tiles."""
    pictures = {"MACROIMAGE": MACRO, "LABELIMAGE": LABEL}
    described = description or philips_description([um / 1000 for um in spacings_um], pictures, TOLD)
    base, *coarser = levels(picture(320, 192), 2, 4, 8)
    return write(
        path,
        [
            Page(base, described, TILE),
            *(
                Page(padded(pixels, TILE, more_columns), f"level={n + 1}", TILE, subfile=1)
                for n, pixels in enumerate(coarser)
            ),
            *pages,
        ],
        software="Philips DP v1.0",
    )


class TestPhilips(SourceContract, CopiedJpegContract):
    reader = OpenslideReader

    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        return make(tmp_path / "slide.tiff")


class TestSparsePhilips(SourceContract):
    """Tiles that lie in no region of interest are missing, at all levels."""

    reader = OpenslideReader

    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        path = make(tmp_path / "sparse.tiff")
        drop_tiles(path, 0, [0, 1, 5, 6, 10, 11, 12])
        drop_tiles(path, 1, [0, 3])
        return path

    def test_what_was_not_scanned_is_absent(self, path: Path) -> None:
        with open_slide(path) as slide:
            assert slide.sparse
            assert slide.absent(0, 0, 0)
            assert not slide.absent(0, 2, 0)
            assert slide.absent(1, 0, 0)


class TestPaddedPhilips(SourceContract):
    """Coarser levels that are stored with columns of tiles beyond the picture."""

    reader = OpenslideReader

    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        return make(tmp_path / "padded.tiff", more_columns=2)


def test_metadata_agrees_with_openslide(tmp_path: Path) -> None:
    path = make(tmp_path / "slide.tiff")
    assert openslide.OpenSlide.detect_format(path) == "philips"
    with open_slide(path) as slide, openslide.OpenSlide(path) as other:
        told = slide.metadata
        theirs = {key[8:]: value for key, value in other.properties.items() if key.startswith("philips.")}
        assert told.properties.items() <= theirs.items()
        assert set(TOLD) <= set(told.properties)
        assert told.barcode == other.properties["openslide.barcode"] == "LABEL0001"
        assert told.objective_power == float(other.properties["openslide.objective-power"]) == 40
        assert slide.pyramid.spacing is not None
        assert slide.pyramid.spacing.x_mm * 1000 == pytest.approx(float(other.properties["openslide.mpp-x"]))
        assert slide.pyramid.spacing.y_mm * 1000 == pytest.approx(float(other.properties["openslide.mpp-y"]))
        assert (told.manufacturer, told.model, told.serial_number) == ("PHILIPS", "UFS Scanner", "FMT0107")
        assert told.software_versions == ("1.6.6186", "20150402_R48", "4.0.3")
        assert told.acquired == datetime(2016, 7, 18, 12, 23)


def test_spacing_of_levels_does_not_count_their_padding(tmp_path: Path) -> None:
    with open_slide(make(tmp_path / "slide.tiff", more_columns=1)) as slide:
        for number, um in enumerate((0.25, 0.5, 1.0, 2.0)):
            spacing = slide.pyramid.level_spacing(number)
            assert spacing is not None
            assert spacing == (pytest.approx(um / 1000), pytest.approx(um / 1000))


def test_pictures_of_the_description_are_copied(tmp_path: Path) -> None:
    path = make(tmp_path / "slide.tiff")
    names = {ImageFlavor.LABEL: ("label", LABEL), ImageFlavor.OVERVIEW: ("macro", MACRO)}
    with open_slide(path) as slide, openslide.OpenSlide(path) as other:
        assert set(slide.associated) == set(names)
        for flavor, image in slide.associated.items():
            name, stored = names[flavor]
            expected = np.asarray(other.associated_images[name].convert("RGB"))
            assert (image.height, image.width, 3) == expected.shape
            assert np.array_equal(image.pixels(), expected)
            encoded = image.encoded()
            assert encoded is not None
            assert encoded.data == stored
            with Image.open(io.BytesIO(encoded.data)) as decoded:
                assert np.array_equal(np.asarray(decoded), expected)
            assert image.lossy_method == "ISO_10918_1"


def test_pages_named_label_and_macro_come_first(tmp_path: Path) -> None:
    pages = (Page(picture(96, 64), "Label", None), Page(picture(80, 48), "Macro -offset=(0,0)", None))
    path = make(tmp_path / "slide.tiff", pages=pages)
    with open_slide(path) as slide, openslide.OpenSlide(path) as other:
        assert len(slide.pyramid.levels) == 4
        for flavor, name in ((ImageFlavor.LABEL, "label"), (ImageFlavor.OVERVIEW, "macro")):
            expected = np.asarray(other.associated_images[name].convert("RGB"))
            assert np.array_equal(slide.associated[flavor].pixels(), expected)


def test_picture_that_is_no_jpeg_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    description = philips_description([0.00025, 0.0005, 0.001, 0.002], {"LABELIMAGE": b"BM" + bytes(90)}, TOLD)
    with open_slide(make(tmp_path / "slide.tiff", description=description)) as slide:
        assert slide.associated == {}
    assert "slide.tiff: label: not a JPEG stream" in caplog.text


def test_levels_without_spacing_are_halvings(tmp_path: Path) -> None:
    with open_slide(make(tmp_path / "slide.tiff", spacings_um=(0.25,), more_columns=1)) as slide:
        assert [level.width for level in slide.pyramid.levels] == [320, 160, 80, 40]


def test_level_that_is_too_small_for_its_spacing_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with open_slide(make(tmp_path / "slide.tiff", spacings_um=(0.25, 0.5, 0.5, 2.0))) as slide:
        assert [level.width for level in slide.pyramid.levels] == [320, 160, 40]
    assert "left out: slide.tiff: IFD 2" in caplog.text


Change = Callable[[str], str]


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda text: text.replace("</DataObject>", ""), CorruptInput, "XML that does not parse"),
        (lambda text: text.replace("WSI", "XYZ"), UnsupportedFormat, "0 slides where one is expected"),
        (lambda text: text.replace("?>", "?><!DOCTYPE x>"), UnsupportedFormat, "document type declaration"),
    ],
)
def test_broken_descriptions(tmp_path: Path, change: Change, error: type[Exception], message: str) -> None:
    description = philips_description([0.00025], {}, TOLD)
    path = make(tmp_path / "broken.tiff", description=change(description))
    with pytest.raises(error, match=rf"^broken\.tiff: .*{message}"):
        open_slide(path, "philips")
