"""Each warning is true: where the reader can be run here, it does refuse."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import imagecodecs
import numpy as np
import openslide
import pytest
import wsidicom
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from tests import oracles
from tests.foreign_series import padded
from tests.validation.breaking import (
    BASE,
    LABEL,
    LEVEL,
    Change,
    assert_found,
    change,
    extended_of,
    frames_of,
    of_shared,
    put_frames,
    rewritten,
    second_path,
    setting,
    sparse,
    starts,
    validated,
)
from wsi_dicom.dicom.uids import transfer_syntax_uid
from wsi_dicom.validation import Severity

BLACK = np.zeros((256, 256, 3), "u1")


def second_label(folder: Path) -> None:
    shutil.copy(folder / LABEL, folder / "6.dcm")

    def rename(dataset: Dataset) -> None:
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()

    change(folder / "6.dcm", rename)


def second_volume(folder: Path) -> None:
    second_label(folder)
    shutil.copy(folder / BASE, folder / "6.dcm")
    change(folder / "6.dcm", setting(SOPInstanceUID="1.2.3"))


def lossless_jpeg(dataset: Dataset) -> None:
    """JPEG-LS in every frame."""
    dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.80"
    dataset.PhotometricInterpretation = "RGB"
    put_frames(dataset, [padded(bytes(imagecodecs.jpegls_encode(BLACK)))] * 4)


def deflated(dataset: Dataset) -> None:
    dataset.file_meta.TransferSyntaxUID = transfer_syntax_uid("1.2.840.10008.1.2.8.1")
    dataset.PhotometricInterpretation = "RGB"
    put_frames(dataset, [padded(bytes(imagecodecs.deflate_encode(BLACK.tobytes(), raw=True)))] * 4)


def two_paths(dataset: Dataset) -> None:
    second_path(dataset)
    dataset.NumberOfOpticalPaths = 2
    stored = oracles.frames(dataset)
    dataset.NumberOfFrames = 2 * len(stored)
    put_frames(dataset, 2 * stored)


def two_planes(dataset: Dataset) -> None:
    stored = frames_of(dataset)
    dataset.TotalPixelMatrixFocalPlanes = 2
    dataset.NumberOfFrames = 2 * len(stored)
    put_frames(dataset, 2 * stored)


def on_base(how: Change) -> Callable[[Path], None]:
    return lambda folder: change(folder / BASE, how)


def read_all_with_openslide(path: Path) -> None:
    with openslide.OpenSlide(path) as slide:
        slide.read_region((0, 0), 0, (500, 460))
        slide.associated_images["label"].load()


@pytest.mark.parametrize(
    ("how", "name", "words"),
    [
        (on_base(lossless_jpeg), BASE, "cannot read the transfer syntax"),
        (on_base(two_planes), BASE, "refuses images of 2 focal planes"),
        (on_base(rewritten(lambda d, f: put_frames(d, f, starts(f), extended_of(f)))), BASE, "both filled"),
        (second_label, "6.dcm", "refuses a second LABEL beside 4.dcm"),
        (second_volume, "6.dcm", "refuses two VOLUME images of 500 x 460 pixels"),
        (lambda folder: change(folder / LABEL, setting(Rows=50)), LABEL, "refuses a LABEL in 2 tiles"),
    ],
    ids=["syntax", "planes", "tables", "labels", "volumes", "label-tiles"],
)
def test_what_openslide_refuses(
    copy_of: Callable[[str], Path], how: Callable[[Path], None], name: str, words: str
) -> None:
    folder = copy_of("jpeg-ycbcr")
    how(folder)
    assert_found(validated(folder), "warning", "OpenSlide", name, words)
    with pytest.raises(openslide.OpenSlideError):
        read_all_with_openslide(folder / BASE)


def odd_lengths(dataset: Dataset) -> None:
    """Lengths of the frames, where those of the items are due."""
    stored = [frame + b"\0" * (len(frame) % 2 == 0) for frame in oracles.frames(dataset)]
    with_padding = [padded(frame) for frame in stored]
    put_frames(dataset, with_padding, (), [starts(with_padding), [len(frame) for frame in stored]])


@pytest.mark.parametrize(
    ("how", "words"),
    [
        (odd_lengths, "refuses odd ExtendedOffsetTableLengths; 4 are"),
        (rewritten(lambda d, f: (setattr(d, "NumberOfFrames", 3), put_frames(d, f[:3]))), "refuses 3 frames where"),
        (setting(DimensionOrganizationType="TILED_SPARSE"), "neither TILED_FULL nor"),
    ],
    ids=["odd", "count", "undetermined"],
)
def test_what_wsidicom_refuses(copy_of: Callable[[str], Path], how: Change, words: str) -> None:
    folder = copy_of("jpeg-ycbcr")
    (folder / LEVEL).unlink()
    change(folder / BASE, how)
    assert_found(validated(folder), "warning", "wsidicom", BASE, words)
    with (
        pytest.raises((wsidicom.errors.WsiDicomError, wsidicom.errors.WsiDicomFileError)),
        wsidicom.WsiDicom.open(folder) as slide,
    ):
        slide.read_region((0, 0), 0, (500, 460))


@pytest.mark.parametrize(
    ("reader", "how", "words"),
    [
        ("dicom-microscopy-viewer", lambda d: delattr(d.OpticalPathSequence[0], "OpticalPathIdentifier"), "an Opt"),
        ("dicom-microscopy-viewer", lambda d: delattr(of_shared(d, "PixelMeasuresSequence"), "PixelSpacing"), "a Pix"),
        ("dicom-microscopy-viewer",
         setting(ExtendedDepthOfField="YES", NumberOfFocalPlanes=3, DistanceBetweenFocalPlanes=1.0), "above 1"),
        ("Orthanc plugin", two_paths, "needs 4 frames, one a tile, where no positions are told; 8 are there"),
        ("Orthanc plugin", two_planes, "8 are there"),
        ("Orthanc plugin", lambda d: sparse(d, [(1, 1), (250, 1), (1, 257), (257, 257)]), "1 frames are"),
        ("PS3.3 C.7.6.1.1.5.2", setting(LossyImageCompressionRatio=["8.5", "90"]), "the last LossyImage"),
        ("wsi-dicom", deflated, "are not looked into"),
    ],
)  # fmt: skip
def test_other_warnings(copy_of: Callable[[str], Path], reader: str, how: Change, words: str) -> None:
    folder = copy_of("jpeg-ycbcr")
    change(folder / BASE, how)
    assert_found(validated(folder), "warning", reader, BASE, words)


@pytest.mark.parametrize("number", [201, 202, 203])
def test_syntaxes_that_only_few_know(copy_of: Callable[[str], Path], number: int) -> None:
    def high_throughput(dataset: Dataset) -> None:
        dataset.file_meta.TransferSyntaxUID = f"1.2.840.10008.1.2.4.{number}"
        frame = bytes(imagecodecs.htj2k_encode(BLACK, reversible=number != 203))
        dataset.PhotometricInterpretation = "YBR_RCT" if number != 203 else "YBR_ICT"
        dataset.LossyImageCompression = "00" if number != 203 else "01"
        if number == 203:
            dataset.LossyImageCompressionMethod = "ISO_15444_15"
            dataset.LossyImageCompressionRatio = round(BLACK.nbytes / len(frame), 2)
        put_frames(dataset, [padded(frame)] * 4)

    folder = copy_of("j2k-lossless")
    change(folder / BASE, high_throughput)
    findings = validated(folder)
    assert {finding.severity for finding in findings} == {Severity.WARNING}, "\n".join(map(str, findings))
    refusing = {finding.clause for finding in findings}
    assert refusing == {"OpenSlide", "dicom-microscopy-viewer", "Orthanc plugin"} | (
        {"wsidicom"} if number == 202 else set()
    )
