"""What the images of a series have to agree on."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import openslide
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from tests.validation.breaking import (
    BASE,
    GRID,
    LABEL,
    LEVEL,
    OVERVIEW,
    Change,
    assert_found,
    change,
    frames_of,
    of_shared,
    put_frames,
    setting,
    sparse,
    validated,
    without,
)
from wsi_dicom.validation import validate_series


def spacing(y: str, x: str) -> Change:
    return lambda dataset: setattr(of_shared(dataset, "PixelMeasuresSequence"), "PixelSpacing", [y, x])


def in_two_parts(folder: Path) -> None:
    """BASE becomes the first part of a concatenation; 6.dcm is the second."""
    shutil.copy(folder / BASE, folder / "6.dcm")
    source, uid = generate_uid(), generate_uid()
    for number, (name, of_part) in enumerate(((BASE, slice(0, 2)), ("6.dcm", slice(2, 4)))):

        def split(dataset: Dataset, number: int = number, of_part: slice = of_part) -> None:
            sparse(dataset, GRID[of_part])
            put_frames(dataset, frames_of(dataset)[of_part])
            dataset.NumberOfFrames = 2
            dataset.ConcatenationUID, dataset.SOPInstanceUIDOfConcatenationSource = uid, source
            dataset.InConcatenationNumber, dataset.InConcatenationTotalNumber = number + 1, 2
            dataset.ConcatenationFrameOffsetNumber = 2 * number
            dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()

        change(folder / name, split)


SERIES_FAULTS: list[tuple[str, Change, str, str, str]] = [
    (LABEL, setting(PatientID="other"), "error", "PS3.3 C.7.1.1", "PatientID differs from that of 1.dcm"),
    (LEVEL, setting(StudyDate="20200101"), "error", "PS3.3 C.7.2.1", "StudyDate differs"),
    (LEVEL, setting(StudyInstanceUID="1.2.3"), "error", "PS3.3 C.7.2.1", "StudyInstanceUID differs"),
    (LEVEL, setting(SeriesNumber=7), "error", "PS3.3 C.7.3.1", "SeriesNumber differs"),
    (OVERVIEW, setting(ContainerIdentifier="other"), "error", "PS3.3 C.7.6.22", "ContainerIdentifier differs"),
    (LEVEL, setting(FrameOfReferenceUID="1.2.3"), "error", "PS3.3 C.7.4.1", "FrameOfReferenceUID differs"),
    (LEVEL, setting(PyramidUID="1.2.3"), "warning", "PS3.3 C.7.11.1", "PyramidUID is 1.2.3"),
    (LEVEL, without("PyramidUID"), "warning", "PS3.3 C.7.11.1", "PyramidUID is missing"),
    (LEVEL, setting(TotalPixelMatrixColumns=200), "error", "PS3.3 C.7.11.1", "another aspect than the 500 x 460"),
    (LEVEL, setting(TotalPixelMatrixRows=480), "error", "PS3.3 C.7.11.1", "smaller along both sides"),
    (LEVEL, spacing("0.0005", "0.0005"), "error", "PS3.3 C.7.6.16.2.1", "a width of 0.125 mm; 1.dcm has 0.25"),
    (LEVEL, spacing("0.00102", "0.001"), "error", "PS3.3 C.7.6.16.2.1", "makes a height of"),
    (LEVEL, setting(ImagedVolumeWidth=0.253), "warning", "EZ-WSI", "ImagedVolumeWidth is 0.253 mm"),
    (LEVEL, setting(BitsAllocated=16), "warning", "Orthanc plugin", "needs the same BitsAllocated in all levels"),
    (LEVEL, setting(AcquisitionDateTime="20240229133000"), "warning", "Bio-Formats", "1.dcm has another"),
    (LEVEL, setting(AcquisitionDateTime="20240229123000+0000"), "warning", "Bio-Formats", "1.dcm has another"),
    (LEVEL, setting(AcquisitionDateTime="20240229"), "warning", "Bio-Formats", "needs an AcquisitionDateTime"),
    (LEVEL, lambda d: setattr(d.SpecimenDescriptionSequence[0], "SpecimenIdentifier", "other"), "warning",
     "Bio-Formats", "by SpecimenIdentifier"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "how", "severity", "clause", "words"),
    SERIES_FAULTS,
    ids=[f"{number}-{row[4]}" for number, row in enumerate(SERIES_FAULTS)],
)
def test_a_fault_across_the_series(
    copy_of: Callable[[str], Path], name: str, how: Change, severity: str, clause: str, words: str
) -> None:
    folder = copy_of("jpeg-ycbcr")
    change(folder / name, how)
    assert_found(validated(folder), severity, clause, name, words)


def test_rounded_levels_and_close_times_are_good(copy_of: Callable[[str], Path]) -> None:
    folder = copy_of("jpeg-ycbcr")
    change(folder / LEVEL, spacing("0.001004", "0.000997"))
    change(folder / LABEL, setting(AcquisitionDateTime="20240229123100"))
    assert validated(folder) == []


def test_an_instance_twice(copy_of: Callable[[str], Path]) -> None:
    folder = copy_of("jpeg-ycbcr")
    shutil.copy(folder / LEVEL, folder / "6.dcm")
    assert_found(validated(folder), "error", "PS3.3 C.12.1", "6.dcm", "same as that of 2.dcm")


SPLIT = {("warning", "highdicom"), ("warning", "EZ-WSI")}
"""What is said of any TILED_SPARSE concatenation."""


@pytest.mark.parametrize(
    ("how", "severity", "clause", "words"),
    [
        (setting(TotalPixelMatrixColumns=512), "error", "PS3.3 C.7.6.16.2.2.4", "TotalPixelMatrixColumns differs"),
        (setting(InConcatenationTotalNumber=3), "error", "PS3.3 C.7.6.16.2.2.4", "InConcatenationTotalNumber differs"),
        (lambda d: setattr(d.file_meta, "TransferSyntaxUID", "1.2.840.10008.1.2.4.51"), "warning", "EZ-WSI",
         "this part is JPEG extended, 1.dcm JPEG baseline"),
    ],
)  # fmt: skip
def test_parts_that_differ(copy_of: Callable[[str], Path], how: Change, severity: str, clause: str, words: str) -> None:
    folder = copy_of("jpeg-ycbcr")
    in_two_parts(folder)
    change(folder / "6.dcm", how)
    assert_found(validated(folder), severity, clause, "6.dcm", words)


def test_concatenations(copy_of: Callable[[str], Path]) -> None:
    folder = copy_of("jpeg-ycbcr")
    in_two_parts(folder)
    assert {(finding.severity, finding.clause) for finding in validated(folder)} == SPLIT
    with openslide.OpenSlide(folder / BASE) as slide:
        assert slide.level_dimensions[0] == (500, 460)

    for name in (BASE, "6.dcm"):
        change(folder / name, setting(DimensionOrganizationType="TILED_FULL"))
    findings = validated(folder)
    assert {(finding.severity, finding.clause) for finding in findings} == {
        ("warning", "highdicom"),
        ("warning", "dicom-microscopy-viewer"),
    }

    change(folder / "6.dcm", setting(ConcatenationFrameOffsetNumber=3))
    assert_found(validated(folder), "error", "PS3.3 C.7.6.16.2.2.4", "6.dcm", "part 2, after frame 2, is due")
    (folder / "6.dcm").unlink()
    assert_found(validated(folder), "error", "PS3.3 C.7.6.16.2.2.4", BASE, "1 of the 2 parts")
    assert_found(validated(folder), "error", "PS3.3 C.7.6.17.3", BASE, "2 frames, where 2 x 2 tiles")


def test_several_series_are_judged_one_by_one(copy_of: Callable[[str], Path]) -> None:
    files = [file for name in ("jpeg-ycbcr", "j2k") for file in sorted(copy_of(name).iterdir())]
    assert validate_series(files) == []
