"""What optical paths are called where nobody has named them."""

from __future__ import annotations

import pytest

from wsi_dicom.channel_names import channel_names
from wsi_dicom.metadata import OpticalPath


@pytest.mark.parametrize(
    ("path", "name"),
    [
        (OpticalPath("DAPI", "Nuclei", excitation_nm=358), "Nuclei"),
        (OpticalPath("DAPI", excitation_nm=358), "DAPI"),
        (OpticalPath("7", excitation_nm=525, color=(0, 255, 0)), "525 nm"),
        (OpticalPath("7", emission_nm=525.5), "525.5 nm"),
        (OpticalPath("7", excitation_nm=488, emission_nm=525), "488/525 nm"),
        (OpticalPath("7", color=(0, 255, 0)), "Green"),
        (OpticalPath("7", color=(255, 0, 0)), "Red"),
        (OpticalPath("7", color=(255, 0, 8)), "Red"),
        (OpticalPath("7", color=(255, 127, 0)), "Orange"),
        (OpticalPath("7", color=(255, 0, 255)), "Magenta"),
        (OpticalPath("7", color=(0, 0, 90)), "Blue"),
        (OpticalPath("7", color=(255, 255, 255)), "Channel 2"),
        (OpticalPath("7", color=(0, 0, 0)), "Channel 2"),
        (OpticalPath("7"), "Channel 2"),
    ],
)
def test_the_best_that_is_known(path: OpticalPath, name: str) -> None:
    assert channel_names([OpticalPath("1", "First"), path], 2) == ["First", name]


def test_light_that_several_have_tells_them_not_apart() -> None:
    green = OpticalPath("1", color=(0, 200, 0))
    named = OpticalPath("2", "GFP", color=(0, 200, 0))
    assert channel_names([green, named], 2) == ["Green", "GFP"]
    assert channel_names([green, green, named], 4) == ["Channel 1", "Channel 2", "GFP", "Channel 4"]


def test_no_more_than_there_are() -> None:
    assert channel_names([OpticalPath("1", "First"), OpticalPath("2", "Second")], 1) == ["First"]
