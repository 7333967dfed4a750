"""ICC profiles: what is converted, what carries them, and that nothing is done about sRGB."""

from __future__ import annotations

import io

import imagecodecs
import numpy as np
import pytest
from PIL import Image, ImageCms
from skimage.data import immunohistochemistry

from tests.array_slide import ArraySlide
from tests.profiles import WIDE, in_srgb
from wsi_dicom.codecs.jpeg_markers import with_icc_profile
from wsi_dicom.codecs.transfer_syntaxes import JPEG_BASELINE
from wsi_dicom.color_profile import color_profile
from wsi_dicom.dicom.icc import input_device_profile
from wsi_dicom.geometry import Region
from wsi_dicom.metadata import SlideMetadata
from wsi_dicom.picture_file import CARRY_PROFILES, PictureFormat, Quality
from wsi_dicom.render import Colors, ImageRequest, render, stored_picture
from wsi_dicom.slide import Encoding

TISSUE = immunohistochemistry()
AREA = Region(10, 20, 90, 70)
TILE = Region(64, 128, 64, 64)


def slide(profile: bytes | None = WIDE, **options) -> ArraySlide:
    made = ArraySlide(TISSUE, **options)
    made.metadata = SlideMetadata(icc_profile=profile)
    return made


def shown(area: Region = AREA, colors: Colors = Colors.SRGB, of: ArraySlide | None = None, **options) -> Image.Image:
    options.setdefault("format", PictureFormat.PNG)
    data = render(of or slide(), ImageRequest(area, area.width, area.height, **options), colors=colors)
    return Image.open(io.BytesIO(data))


def test_decoded_pictures_are_in_srgb():
    expected = in_srgb(TISSUE[20:90, 10:100])
    assert abs(expected.astype(int) - TISSUE[20:90, 10:100]).max() > 15  # or this would prove nothing
    got = shown()
    assert "icc_profile" not in got.info
    np.testing.assert_allclose(np.asarray(got).astype(int), expected, atol=1)
    gray = np.asarray(shown(quality=Quality.GRAY)).astype(int)
    np.testing.assert_allclose(gray, np.asarray(Image.fromarray(expected).convert("L")), atol=2)


@pytest.mark.parametrize("picture_format", list(PictureFormat))
def test_or_they_carry_the_profile_where_the_format_can(picture_format):
    data = render(slide(), ImageRequest(AREA, 90, 70, format=picture_format), colors=Colors.EMBED)
    if picture_format in CARRY_PROFILES:
        assert Image.open(io.BytesIO(data)).info["icc_profile"] == WIDE
    else:
        assert data == render(slide(), ImageRequest(AREA, 90, 70, format=picture_format))
        assert WIDE[:100] not in data


def test_gray_never_carries_a_profile_of_colours():
    got = shown(colors=Colors.EMBED, quality=Quality.GRAY)
    assert "icc_profile" not in got.info


def test_or_they_stay_as_they_are():
    got = shown(colors=Colors.RAW)
    assert "icc_profile" not in got.info
    np.testing.assert_array_equal(np.asarray(got), TISSUE[20:90, 10:100])


@pytest.mark.parametrize("colors", list(Colors))
def test_stored_tiles_carry_the_profile_and_are_not_decoded(colors):
    stored = slide(encoding=Encoding(JPEG_BASELINE, "YBR_FULL_422", (2, 2)))
    tile = stored.encoded_tile(0, 1, 2)
    data = stored_picture(stored, ImageRequest(TILE, 64, 64), colors)
    if colors is Colors.RAW:
        assert data == tile.data
    else:
        assert data == with_icc_profile(tile.data, WIDE)
        assert Image.open(io.BytesIO(data)).info["icc_profile"] == WIDE
    assert not stored.decoded


def test_of_srgb_nothing_is_said():
    ours, _ = input_device_profile(None)
    theirs = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for profile in (ours, theirs, bytes(imagecodecs.cms_profile("srgb"))):
        stored = slide(profile, encoding=Encoding(JPEG_BASELINE, "YBR_FULL_422", (2, 2)))
        data = stored_picture(stored, ImageRequest(TILE, 64, 64), Colors.EMBED)
        assert data == stored.encoded_tile(0, 1, 2).data
        np.testing.assert_array_equal(np.asarray(shown(of=slide(profile))), TISSUE[20:90, 10:100])


@pytest.mark.parametrize(
    "profile",
    [b"", b"no profile", WIDE[:200], WIDE[:128] + b"\xff" * 400, bytes(imagecodecs.cms_profile("gray", gamma=1.0))],
    ids=["empty", "text", "cut off", "garbage", "gray"],
)
def test_a_profile_that_cannot_be_used_changes_nothing(profile):
    assert color_profile(profile) is None
    np.testing.assert_array_equal(np.asarray(shown(of=slide(profile))), TISSUE[20:90, 10:100])


def test_slides_of_gray_have_no_colours_to_convert():
    gray = ArraySlide(TISSUE[..., :1].copy(), encoding=Encoding(JPEG_BASELINE, "MONOCHROME2"))
    gray.metadata = SlideMetadata(icc_profile=WIDE)
    assert stored_picture(gray, ImageRequest(TILE, 64, 64)) == gray.encoded_tile(0, 1, 2).data
    got = Image.open(io.BytesIO(render(gray, ImageRequest(AREA, 90, 70, format=PictureFormat.PNG))))
    np.testing.assert_array_equal(np.asarray(got), TISSUE[20:90, 10:100, 0])
