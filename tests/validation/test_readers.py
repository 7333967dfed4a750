"""Each warning is true: where the reader can be run here, it does refuse."""

from __future__ import annotations

import shutil
import subprocess
import warnings
from collections.abc import Callable
from pathlib import Path

import highdicom
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
    GRID,
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
from wsi_dicom.validation import Severity, validate_series

OFF_GRID = [(1, 1), (250, 1), (1, 257), (257, 257)]
BLACK = np.zeros((256, 256, 3), "u1")


def second_label(folder: Path) -> None:
    shutil.copy(folder / LABEL, folder / "6.dcm")

    def rename(dataset: Dataset) -> None:
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()

    change(folder / "6.dcm", rename)


def repeated(folder: Path) -> None:
    """A second finest level, an instance of its own."""
    shutil.copy(folder / BASE, folder / "6.dcm")

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


part_of_one = setting(
    ConcatenationUID="1.2.3",
    SOPInstanceUIDOfConcatenationSource="1.2.4",
    InConcatenationNumber=1,
    InConcatenationTotalNumber=1,
    ConcatenationFrameOffsetNumber=0,
)


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
        (lambda folder: change(folder / LABEL, setting(TotalPixelMatrixRows=90)), LABEL, "reaches beyond its pixels"),
        (lambda folder: change(folder / LABEL, part_of_one), LABEL, "refuses a LABEL in a concatenation"),
    ],
    ids=["syntax", "planes", "tables", "labels", "volumes", "label-tiles", "label-size", "label-part"],
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


def smaller_tiles(dataset: Dataset) -> None:
    dataset.Rows = dataset.Columns = 128
    put_frames(dataset, [padded(bytes(imagecodecs.jpeg8_encode(BLACK[:128, :128])))] * 4)
    dataset.NumberOfFrames = 4


def moved(dataset: Dataset) -> None:
    dataset.TotalPixelMatrixOriginSequence[0].XOffsetInSlideCoordinateSystem = "20.5"


@pytest.mark.parametrize(
    ("how", "words"),
    [
        (smaller_tiles, "leaves this level out: its tiles are 128 x 128, those of 1.dcm 256 x 256"),
        (moved, "1.dcm has another origin"),
        (setting(ImageOrientationSlide=["0", "1", "0", "1", "0", "0"]), "another orientation"),
        (setting(ExtendedDepthOfField="YES", NumberOfFocalPlanes=3, DistanceBetweenFocalPlanes=1.0), "depth of field"),
    ],
    ids=["tiles", "origin", "orientation", "depth"],
)
def test_levels_that_wsidicom_loses(copy_of: Callable[[str], Path], how: Change, words: str) -> None:
    folder = copy_of("jpeg-ycbcr")
    with wsidicom.WsiDicom.open(folder) as slide:
        assert len(slide.pyramid) == 2
    change(folder / LEVEL, how)
    assert_found(validated(folder), "warning", "wsidicom", LEVEL, words)
    with wsidicom.WsiDicom.open(folder) as slide:
        assert len(slide.pyramid) == 1


def test_a_scale_that_wsidicom_refuses(copy_of: Callable[[str], Path]) -> None:
    folder = copy_of("jpeg-ycbcr")
    change(folder / LEVEL, lambda d: setattr(of_shared(d, "PixelMeasuresSequence"), "PixelSpacing", ["0.0012"] * 2))
    assert_found(validated(folder), "warning", "wsidicom", LEVEL, "2.4 times smaller than 1.dcm")
    with pytest.raises(NotImplementedError):
        wsidicom.WsiDicom.open(folder)


def test_what_openslide_leaves_out(copy_of: Callable[[str], Path]) -> None:
    folder = copy_of("jpeg-ycbcr")
    (folder / LEVEL).unlink()
    change(folder / BASE, two_paths)
    assert_found(validated(folder), "warning", "OpenSlide", BASE, "the first of 2 optical paths only")
    with openslide.OpenSlide(folder / BASE) as slide:
        assert (slide.level_count, slide.dimensions) == (1, (500, 460))


@pytest.mark.parametrize(
    ("how", "words"),
    [
        (two_planes, "where there are 2 focal planes"),
        (two_paths, "where there are 2 optical paths"),
        (lambda d: (sparse(d, GRID[:2]), part_of_one(d), setattr(d, "NumberOfFrames", 2),
                    put_frames(d, frames_of(d)[:2])), "of a concatenation: it reads single parts"),
        (rewritten(lambda d, f: put_frames(d, f, starts(f), extended_of(f))), "reads no frame lazily"),
        (lambda d: setattr(d.file_meta, "TransferSyntaxUID", transfer_syntax_uid("1.2.840.10008.1.2.4.110")),
         "cannot read the transfer syntax JPEG XL lossless"),
    ],
    ids=["planes", "paths", "part", "tables", "syntax"],
)  # fmt: skip
def test_what_highdicom_refuses(copy_of: Callable[[str], Path], how: Change, words: str) -> None:
    folder = copy_of("jpeg-ycbcr")
    change(folder / BASE, how)
    assert_found(validated(folder), "warning", "highdicom", BASE, words)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of highdicom, about what it reads
        image = highdicom.imread(folder / BASE, lazy_frame_retrieval=True)
        with pytest.raises((RuntimeError, ValueError, OSError)):  # NotImplementedError is a RuntimeError
            image.get_total_pixel_matrix()


def test_what_dcmtk_does_not_send(copy_of: Callable[[str], Path], tool: Callable[[str], str]) -> None:
    folder = copy_of("j2k-lossless")
    change(folder / BASE, lambda d: setattr(d.file_meta, "TransferSyntaxUID", "1.2.840.10008.1.2.4.201"))
    assert_found(validate_series([folder / BASE]), "warning", "DCMTK", BASE, "dcmsend sends no such file")
    sent = subprocess.run(
        [tool("dcmsend"), "-v", "127.0.0.1", "9", folder / BASE], capture_output=True, text=True, check=False
    )
    assert "Unknown Transfer Syntax" in sent.stderr


def test_two_pictures_of_one_size(copy_of: Callable[[str], Path]) -> None:
    folder = copy_of("jpeg-ycbcr")
    repeated(folder)
    words = "refuses two images of 500 x 460 pixels and one optical path, here and 1.dcm"
    assert_found(validated(folder), "warning", "dicom-microscopy-viewer", "6.dcm", words)
    change(folder / "6.dcm", lambda d: setattr(d.OpticalPathSequence[0], "OpticalPathIdentifier", "1"))
    assert not [f for f in validated(folder) if f.clause == "dicom-microscopy-viewer"]


@pytest.mark.parametrize(
    ("reader", "how", "words"),
    [
        ("dicom-microscopy-viewer", lambda d: delattr(d.OpticalPathSequence[0], "OpticalPathIdentifier"), "an Opt"),
        ("dicom-microscopy-viewer", lambda d: delattr(of_shared(d, "PixelMeasuresSequence"), "PixelSpacing"), "a Pix"),
        ("dicom-microscopy-viewer",
         setting(ExtendedDepthOfField="YES", NumberOfFocalPlanes=3, DistanceBetweenFocalPlanes=1.0), "above 1"),
        ("Orthanc plugin", two_paths, "needs 4 frames, one a tile, where no positions are told; 8 are there"),
        ("Orthanc plugin", two_planes, "8 are there"),
        ("Orthanc plugin", lambda d: sparse(d, OFF_GRID), "1 frames are"),
        ("wsidicom", lambda d: sparse(d, OFF_GRID), "onto the grid that lie off it, as 1"),
        ("dicom-microscopy-viewer", lambda d: sparse(d, OFF_GRID), "onto the grid"),
        ("EZ-WSI", lambda d: sparse(d, GRID), "takes no patches"),
        ("OpenSlide", lambda d: setattr(d, "preamble", b"II*\0".ljust(128, b"\0")), "may take the file for a TIFF"),
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
    assert refusing == {"OpenSlide", "dicom-microscopy-viewer", "Orthanc plugin", "DCMTK"} | (
        {"wsidicom"} if number == 202 else set()
    )
