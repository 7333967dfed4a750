"""What is missing, and what contradicts itself, in the attributes of one image; dciodvfy is the judge."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from pathlib import Path

import openslide
import pydicom
import pytest
from PIL import ImageCms
from pydicom.dataset import Dataset

from tests.dicom_series import KINDS, Series
from tests.validation.breaking import (
    BASE,
    GRID,
    LABEL,
    LEVEL,
    OVERVIEW,
    THUMBNAIL,
    Change,
    assert_found,
    change,
    dciodvfy_errors,
    of_shared,
    second_path,
    setting,
    sparse,
    validated,
    without,
)
from wsi_dicom.validation import Severity, validate_series

GRAY_KINDS = ("gray-jpeg", "gray-16")


@pytest.mark.parametrize("name", [kind.name for kind in KINDS])
def test_what_we_write_has_no_errors(series_of: Callable[[str], Series], name: str) -> None:
    findings = validate_series(series_of(name).files)
    if name not in GRAY_KINDS:
        assert findings == []
        return
    assert {finding.severity for finding in findings} == {Severity.WARNING}
    assert {finding.clause for finding in findings} <= {"OpenSlide", "Orthanc plugin"}
    with pytest.raises(openslide.OpenSlideError):
        openslide.OpenSlide(series_of(name).files[0])


def test_what_others_wrote(slides: Path, tool: Callable[[str], str]) -> None:
    """wsidicomizer's series: dciodvfy finds nothing, but its ICC profiles are those of a display."""
    files = sorted((slides / "dicom_wsi" / "cytomine_cmu1").iterdir())
    findings = validate_series(files)
    errors = [finding for finding in findings if finding.severity is Severity.ERROR]
    assert [(f.clause, f.instance) for f in errors] == [("PS3.3 C.11.15.1.1", file.name) for file in files]
    assert all("'mntr'" in finding.message for finding in errors)
    warned = {f.instance for f in findings if f.severity is Severity.WARNING and "PixelSpacing" in f.message}
    for file in files:
        assert dciodvfy_errors(file, tool) == []
        dataset = pydicom.dcmread(file)
        profile = ImageCms.ImageCmsProfile(io.BytesIO(dataset.OpticalPathSequence[0].ICCProfile)).profile
        assert profile.device_class == "mntr"
        measures = dataset.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
        assert ("PixelSpacing" in measures) == (file.name not in warned)


@pytest.mark.parametrize("name", ["bone_jpeg", "bone_jpeg2000", "bone_raw"])
def test_missing_attributes_of_others(slides: Path, tool: Callable[[str], str], name: str) -> None:
    """Every attribute that dciodvfy misses in these is missed here too."""
    path = slides / "dicom_wsi" / "gcp_single" / f"{name}.dcm"
    found = " ".join(finding.message for finding in validate_series([path]))
    missed = [line.split("<")[1].split(">")[0] for line in dciodvfy_errors(path, tool) if "Missing attribute" in line]
    assert len(missed) > 20
    assert [keyword for keyword in missed if keyword not in found and keyword != "Laterality"] == []


def attribute_paths(dataset: Dataset, outer: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for element in dataset:
        if element.keyword == "PixelData":
            continue
        yield (*outer, element.keyword)
        codes_of_many = element.keyword.endswith("CodeSequence") and element.keyword != "IlluminationTypeCodeSequence"
        if element.VR == "SQ" and element.value and not codes_of_many:
            yield from attribute_paths(element.value[0], (*outer, element.keyword))


def of_mutants(
    good: Dataset,
    folder: Path,
    tool: Callable[[str], str],
    change_at: Callable[[Dataset, str], object],
    among: tuple[str, ...] = (),
) -> tuple[list[tuple[str, ...]], int]:
    """Where dciodvfy and we disagree when one attribute after the other is changed, and how many of them we refuse.

    `change_at` returns False for an attribute that it leaves alone. `among`: these and what they hold; else all.
    """
    places, files = [], []
    for place in attribute_paths(good):
        if among and not place[0].startswith(among):
            continue
        dataset = deepcopy(good)
        within = dataset
        for keyword in place[:-1]:
            within = within[keyword].value[0]
        if change_at(within, place[-1]) is not False:
            places.append(place)
            files.append(folder / f"{len(files)}.dcm")
            dataset.save_as(files[-1], enforce_file_format=False)
    with ThreadPoolExecutor(2) as pool:
        theirs = list(pool.map(lambda path: bool(dciodvfy_errors(path, tool)), files))
    ours = [any(finding.severity is Severity.ERROR for finding in validate_series([path])) for path in files]
    return [place for place, they, we in zip(places, theirs, ours, strict=True) if they != we], sum(ours)


def emptied(within: Dataset, keyword: str) -> None:
    within[keyword].value = [] if within[keyword].VR == "SQ" else None


def repeated(within: Dataset, keyword: str) -> bool:
    if within[keyword].VR != "SQ" or not within[keyword].value:
        return False
    within[keyword].value = [*within[keyword].value, deepcopy(within[keyword].value[0])]
    return True


@pytest.mark.parametrize(
    ("name", "change_at"), [(LEVEL, Dataset.__delattr__), (LEVEL, emptied), (LABEL, Dataset.__delattr__)]
)
def test_missing_attributes_as_dciodvfy(
    series_of: Callable[[str], Series], tmp_path: Path, tool: Callable[[str], str], name: str,
    change_at: Callable[[Dataset, str], object],
) -> None:  # fmt: skip
    good = pydicom.dcmread(series_of("jpeg-ycbcr").folder / name)
    differences, refused = of_mutants(good, tmp_path, tool, change_at)
    assert differences == [("Rows",), ("Columns",)]  # dciodvfy lets these pass
    assert refused > 50


REPEATED_UNSEEN = [
    ("IssuerOfTheContainerIdentifierSequence",),
    ("ContainerTypeCodeSequence",),
    ("SpecimenDescriptionSequence", "IssuerOfTheSpecimenIdentifierSequence"),
    ("OpticalPathSequence",),
]
"""The first three may have one item at most (C.7.6.22), the last as many as NumberOfOpticalPaths."""


@pytest.mark.parametrize(
    ("change_at", "known"),
    [
        (Dataset.__delattr__, []),
        (emptied, []),
        (repeated, REPEATED_UNSEEN),
    ],
    ids=["missing", "empty", "repeated"],
)
def test_a_specimen_as_dciodvfy(
    slides: Path, tmp_path: Path, tool: Callable[[str], str], change_at: Callable[[Dataset, str], object],
    known: list[tuple[str, ...]],
) -> None:  # fmt: skip
    """highdicom's image tells specimens, their preparation, issuers of identifiers and dimensions."""
    good = pydicom.dcmread(slides / "dicom_wsi" / "highdicom" / "sm_image.dcm")
    among = ("Specimen", "IssuerOf", "Container", "DimensionIndex", "OpticalPathS", "TotalPixelMatrixO", "Shared")
    differences, refused = of_mutants(good, tmp_path, tool, change_at, among)
    assert differences == known
    assert refused > 10


def profile_with(start: int, data: bytes) -> Change:
    def patch(dataset: Dataset) -> None:
        path = dataset.OpticalPathSequence[0]
        path.ICCProfile = path.ICCProfile[:start] + data + path.ICCProfile[start + len(data) :]

    return patch


def with_step(**values: str) -> Change:
    """A step of preparation of one content item."""

    def add(dataset: Dataset) -> None:
        step, item = Dataset(), Dataset()
        item.ConceptNameCodeSequence = deepcopy(dataset.OpticalPathSequence[0].IlluminationTypeCodeSequence)
        for keyword, value in values.items():
            setattr(item, keyword, value)
        step.SpecimenPreparationStepContentItemSequence = [item]
        dataset.SpecimenDescriptionSequence[0].SpecimenPreparationSequence = [step]

    return add


YES = True  # dciodvfy finds an error too
NO = False

ATTRIBUTE_FAULTS: list[tuple[str, str, Change, str, str, bool]] = [
    ("jpeg-ycbcr", BASE, setting(ImageType=["DERIVED", "PRIMARY", "VOLUME", "NONE", "X"]), "PS3.3 C.8.12.4.1.1",
     "has 5 values, 4 are allowed", YES),
    ("jpeg-ycbcr", BASE, setting(ImageType=["DERIVED", "SECONDARY", "VOLUME", "NONE"]), "PS3.3 C.8.12.4.1.1",
     "value 2 of ImageType is 'SECONDARY'", YES),
    ("jpeg-ycbcr", LABEL, setting(ImageType=["DERIVED", "PRIMARY", "LOCALIZER", "NONE"]), "PS3.3 C.8.12.4.1.1",
     "value 3 of ImageType is 'LOCALIZER'", NO),
    ("jpeg-ycbcr", LEVEL, setting(ImageType=["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]), "PS3.3 C.8.12.9",
     "FrameType is DERIVED/PRIMARY/VOLUME/RESAMPLED", NO),
    ("jpeg-ycbcr", BASE, setting(SpecimenLabelInImage="YES"), "PS3.3 C.8.12.4.1.1", "NO is due for VOLUME", YES),
    ("jpeg-ycbcr", THUMBNAIL, setting(SpecimenLabelInImage="YES"), "PS3.3 C.8.12.4.1.1", "NO is due", YES),
    ("jpeg-ycbcr", LABEL, setting(SpecimenLabelInImage="NO"), "PS3.3 C.8.12.4.1.1", "YES is due for LABEL", YES),
    ("jpeg-ycbcr", OVERVIEW, setting(SpecimenLabelInImage="NO"), "PS3.3 C.8.12.4.1.1", "YES is due", YES),
    ("jpeg-ycbcr", LABEL, setting(PyramidUID="1.2.3"), "PS3.3 A.32.8.3", "LABEL is no level of a pyramid", NO),
    ("jpeg-ycbcr", LABEL, setting(NumberOfFrames=2), "PS3.3 C.8.12.4.1.1", "LABEL has 2 frames", YES),
    ("jpeg-ycbcr", BASE, setting(NumberOfFrames=0), "PS3.3 C.8.12.4", "NumberOfFrames is 0", YES),
    ("jpeg-ycbcr", BASE, setting(NumberOfFrames=5), "PS3.3 C.7.6.17.3", "5 frames, where 2 x 2 tiles", YES),
    ("jpeg-ycbcr", BASE, setting(TotalPixelMatrixColumns=600), "PS3.3 C.7.6.17.3", "need 6", YES),
    ("jpeg-ycbcr", BASE, setting(TotalPixelMatrixFocalPlanes=2), "PS3.3 C.7.6.17.3", "2 focal planes", YES),
    ("jpeg-ycbcr", BASE, setting(Modality="CT"), "PS3.3 C.8.12.3", "Modality is CT", YES),
    ("jpeg-ycbcr", BASE, setting(FocusMethod="NONE"), "PS3.3 C.8.12.4", "AUTO, MANUAL is allowed", YES),
    ("jpeg-ycbcr", BASE, setting(PlanarConfiguration=1), "PS3.3 C.8.12.4", "PlanarConfiguration is 1", YES),
    ("gray-16", BASE, setting(RescaleSlope="2"), "PS3.3 C.8.12.4", "RescaleSlope is 2", YES),
    ("gray-16", BASE, setting(BitsStored=12, HighBit=11), "PS3.3 C.8.12.4", "BitsStored is 12", YES),
    ("jpeg-ycbcr", BASE, setting(HighBit=6), "PS3.3 C.7.6.3", "HighBit is 6", YES),
    ("jpeg-ycbcr", BASE, setting(PhotometricInterpretation="MONOCHROME2"), "PS3.3 C.7.6.3.1.2", "3 samples", YES),
    ("jpeg-ycbcr", BASE, setting(PhotometricInterpretation="YBR_FULL"), "PS3.3 C.8.12.4", "is YBR_FULL", YES),
    ("jpeg-ycbcr", BASE, setting(PhotometricInterpretation="YBR_ICT"), "PS3.5 8.2.1", "RGB is due", YES),
    ("j2k-lossless", BASE, setting(PhotometricInterpretation="YBR_ICT"), "PS3.5 8.2.4", "YBR_RCT or RGB", YES),
    ("native", BASE, setting(PhotometricInterpretation="YBR_FULL_422"), "PS3.5 8.2", "RGB is due", YES),
    ("jpeg-ycbcr", BASE, setting(PhotometricInterpretation="RGB"), "PS3.3 C.7.6.3.1.2", "holds YCbCr", NO),
    ("jpeg-rgb", BASE, setting(PhotometricInterpretation="YBR_FULL_422"), "PS3.3 C.7.6.3.1.2", "holds RGB", NO),
    ("j2k", BASE, setting(PhotometricInterpretation="RGB"), "PS3.3 C.7.6.3.1.2", "not YBR_ICT", NO),
    ("j2k-lossless", BASE, setting(PhotometricInterpretation="RGB"), "PS3.3 C.7.6.3.1.2", "not YBR_RCT", NO),
    ("jpeg-ycbcr", BASE, second_path, "PS3.3 C.8.12.5", "NumberOfOpticalPaths is 1", NO),
    ("jpeg-ycbcr", BASE, lambda d: delattr(d.OpticalPathSequence[0], "ICCProfile"), "PS3.3 C.8.12.5",
     "no ICCProfile, which colour requires", YES),
    ("gray-jpeg", BASE, lambda d: setattr(d.OpticalPathSequence[0], "ICCProfile", bytes(128)), "PS3.3 C.8.12.5",
     "gray does not allow", YES),
    ("jpeg-ycbcr", BASE, profile_with(12, b"mntr"), "PS3.3 C.11.15.1.1", "class 'mntr'", NO),
    ("jpeg-ycbcr", BASE, profile_with(16, b"GRAY"), "PS3.3 C.11.15.1.1", "for 'GRAY' pixels", NO),
    ("jpeg-ycbcr", BASE, profile_with(20, b"Luv "), "PS3.3 C.11.15.1.1", "connects to 'Luv '", NO),
    ("jpeg-ycbcr", BASE, profile_with(0, b"\x7f"), "PS3.3 C.11.15.1.1", "broken or cut off", NO),
    ("jpeg-ycbcr", BASE, lambda d: delattr(d.OpticalPathSequence[0], "IlluminationColorCodeSequence"),
     "PS3.3 C.8.12.5", "neither IlluminationColorCodeSequence nor", YES),
    ("jpeg-ycbcr", BASE, setting(LossyImageCompression="00"), "PS3.3 C.7.6.1.1.5", "which is lossy", YES),
    ("j2k-lossless", BASE, setting(LossyImageCompressionRatio="9"), "PS3.3 C.7.6.1.1.5", "a method or ratio", YES),
    ("j2k", BASE, setting(LossyImageCompression="00"), "PS3.3 C.7.6.1.1.5", "is irreversible", YES),
    ("jpeg-ycbcr", BASE, setting(LossyImageCompressionRatio="8.5"), "PS3.3 C.7.6.1.1.5", "has 2 values", NO),
    ("jpeg-ycbcr", BASE, setting(LossyImageCompressionRatio=["8.5", "0"]), "PS3.3 C.7.6.1.1.5", "is 0", YES),
    ("jpeg-ycbcr", BASE, setting(LossyImageCompressionMethod=["ISO_10918_1", "ISO_15444_1"]), "PS3.3 C.7.6.1.1.5",
     "ISO_10918_1 is due", NO),
    ("jpeg-ycbcr", BASE, setting(FrameOfReferenceUID="1.02.3"), "PS3.5 9.1",
     "FrameOfReferenceUID is '1.02.3'", YES),
    ("jpeg-ycbcr", BASE, setting(SOPInstanceUID="1.2.3"), "PS3.10 7.1", "not the SOPInstanceUID", YES),
    ("jpeg-ycbcr", BASE, lambda d: setattr(d.file_meta, "MediaStorageSOPClassUID", "1.2.3"), "PS3.10 7.1",
     "MediaStorageSOPClassUID of the file meta information is 1.2.3", YES),
    ("jpeg-ycbcr", BASE, lambda d: delattr(d.file_meta, "ImplementationClassUID"), "PS3.10 7.1",
     "ImplementationClassUID is missing", YES),
    ("jpeg-ycbcr", LEVEL, without("ReferencedSeriesSequence"), "PS3.3 C.12.2", "missing in ReferencedSeries", YES),
    ("jpeg-ycbcr", LEVEL, lambda d: delattr(d.SharedFunctionalGroupsSequence[0], "DerivationImageSequence"),
     "PS3.3 C.12.2", "no instance is referred to", YES),
    ("jpeg-ycbcr", BASE, lambda d: delattr(d.OpticalPathSequence[0].IlluminationTypeCodeSequence[0], "CodeMeaning"),
     "PS3.3 8.8", "IlluminationTypeCodeSequence has no CodeMeaning", YES),
    ("jpeg-ycbcr", BASE, setting(ImagedVolumeDepth=0.0), "PS3.3 C.8.12.4.1.2", "ImagedVolumeDepth is 0", YES),
    ("jpeg-ycbcr", BASE, setting(ImagedVolumeWidth=0.5), "PS3.3 C.8.12.4.1.2", "ImagedVolumeWidth is 0.5 mm", NO),
    ("jpeg-ycbcr", BASE, lambda d: setattr(of_shared(d, "PixelMeasuresSequence"), "PixelSpacing", ["0", "1"]),
     "PS3.3 C.7.6.16.2.1", "not two positive numbers", YES),
    ("jpeg-ycbcr", BASE, setting(ConcatenationUID="1.2.3"), "PS3.3 C.7.6.16", "InConcatenationNumber is", YES),
    ("jpeg-ycbcr", BASE, setting(DimensionOrganizationType="TILED_SPARSE"), "PS3.3 A.32.8.4", "nothing tells", YES),
    ("jpeg-ycbcr", BASE, setting(PatientSex="X"), "PS3.3 C.7.1.1", "PatientSex is X", YES),
    ("gray-16", BASE, setting(PlanarConfiguration=0), "PS3.3 C.7.6.3", "one sample a pixel does not allow", YES),
    ("native", BASE, with_step(ValueType="BOGUS"), "PS3.3 10.2", "ValueType is BOGUS", YES),
    ("native", BASE, with_step(ValueType="TEXT"), "PS3.3 10.2", "has no TextValue", YES),
    ("native", BASE, lambda d: setattr(d, "IssuerOfTheContainerIdentifierSequence", [Dataset()]), "PS3.3 10.14",
     "neither LocalNamespaceEntityID nor", YES),
    ("jpeg-ycbcr", BASE, setting(InstanceNumber=["1", "2"]), "PS3.6 6", "InstanceNumber has 2 values", YES),
    ("jpeg-ycbcr", BASE, setting(PatientSex="female, or not"), "PS3.5 6.2", "PatientSex breaks the rules", YES),
]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "name", "how", "clause", "words", "theirs"),
    ATTRIBUTE_FAULTS,
    ids=[f"{number}-{row[4]}" for number, row in enumerate(ATTRIBUTE_FAULTS)],
)
def test_a_fault_among_the_attributes(
    copy_of: Callable[[str], Path], tool: Callable[[str], str], kind: str, name: str, how: Change, clause: str,
    words: str, theirs: bool,
) -> None:  # fmt: skip
    folder = copy_of(kind)
    change(folder / name, how)
    assert_found(validate_series([folder / name]), "error", clause, name, words)
    assert bool(dciodvfy_errors(folder / name, tool)) == theirs


def test_sparse_tiles_are_good(copy_of: Callable[[str], Path], tool: Callable[[str], str]) -> None:
    folder = copy_of("jpeg-ycbcr")
    change(folder / BASE, lambda dataset: sparse(dataset, GRID))
    assert [finding.clause for finding in validated(folder)] == ["EZ-WSI"]
    assert dciodvfy_errors(folder / BASE, tool) == []


@pytest.mark.parametrize(
    ("positions", "words"),
    [(GRID[:3], "3 positions of tiles for 4 frames"), ([*GRID[:3], (501, 257)], "1 frames lie outside"),
     ([(0, 1), *GRID[1:]], "first of them frame 1 at column 0")],
)  # fmt: skip
def test_positions_of_tiles(copy_of: Callable[[str], Path], positions: list[tuple[int, int]], words: str) -> None:
    folder = copy_of("jpeg-ycbcr")
    change(folder / BASE, lambda dataset: sparse(dataset, positions))
    assert_found(validated(folder), "error", "PS3.3 C.8.12.6.1", BASE, words)


def test_a_frame_without_a_position(copy_of: Callable[[str], Path]) -> None:
    def forget(dataset: Dataset) -> None:
        sparse(dataset, GRID)
        del dataset.PerFrameFunctionalGroupsSequence[2].PlanePositionSlideSequence

    folder = copy_of("jpeg-ycbcr")
    change(folder / BASE, forget)
    assert_found(validated(folder), "error", "PS3.3 C.8.12.6.1", BASE, "tells no valid tile position")
