"""Small whole-slide images as other people write them: every encoding, layout and container that is read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate, encapsulate_extended
from pydicom.tag import Tag
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    MediaStorageDirectoryStorage,
)

from tests import dicom_pixels, foreign_series, test_dicom_pixels
from tests.codec_fuzz import HEIGHT, WIDTH, streams
from tests.foreign_series import TILE, Picture, item, jpeg_frames, native_frames, padded, per_frame_groups, sparse
from tests.fuzz.containers import zipped
from wsi_dicom.codecs.transfer_syntaxes import KNOWN
from wsi_dicom.dicom.uids import transfer_syntax_uid
from wsi_dicom.geometry import PixelFormat
from wsi_dicom.slide import Encoding

Write = Callable[[Path], Path]
"""Makes files in an empty folder; gives what is to be opened."""

SERIES, STUDY = "1.2.826.0.1.3680043.8.498.1", "1.2.826.0.1.3680043.8.498.2"
_GRID = [(1 + column * TILE, 1 + row * TILE) for row in range(2) for column in range(3)]
_PICTURE = Picture(series_uid=SERIES, study_uid=STUDY)


def _image(name: str, **more: Any) -> Picture:
    """UIDs that stay, since a seed means nothing for other bytes."""
    attributes = {"SOPInstanceUID": f"{SERIES}.{sum(name.encode())}", "FrameOfReferenceUID": f"{STUDY}.1"}
    return replace(_PICTURE, **more | {"attributes": attributes | more.get("attributes", {})})


def _saved(
    folder: Path, name: str, picture: Picture, value: bytes, tables: Sequence[bytes] = (), bits: int = 8
) -> Path:
    picture.attributes |= {"BitsAllocated": bits, "BitsStored": bits, "HighBit": bits - 1} | picture.attributes
    data = foreign_series.header(picture)
    foreign_series.save(folder / f"{name}.dcm", data, picture.syntax, value, tables)
    return folder


def _encoded(encoding: Encoding, pixel_format: PixelFormat, stream: bytes, folder: Path) -> Path:
    """Two tiles."""
    picture = _image(
        "image",
        width=2 * WIDTH,
        height=HEIGHT,
        frames=2,
        syntax=transfer_syntax_uid(encoding.transfer_syntax),
        photometric=encoding.photometric,
        attributes={"Rows": HEIGHT, "Columns": WIDTH},
    )
    value = encapsulate([stream] * 2) if picture.syntax != ExplicitVRLittleEndian else stream * 2
    return _saved(folder, "image", picture, value, bits=pixel_format.bits)


def _native(syntax: str, bits: int, folder: Path, *, value: bytes | None = None, **attributes: Any) -> Path:
    """Gray, or colour where `attributes` say so."""
    colour = "PlanarConfiguration" in attributes
    picture = _image("image", syntax=syntax, photometric="RGB" if colour else "MONOCHROME2", attributes=attributes)
    frames = native_frames(6, kind=f"u{bits // 8}", samples=3 if colour else 1)
    stored = frames.astype(frames.dtype.newbyteorder(">" if syntax == ExplicitVRBigEndian else "<"))
    return _saved(folder, "image", picture, value or stored.tobytes(), bits=bits)


def _palette(folder: Path, *, segments: bool) -> Path:
    data = dicom_pixels.palette_image(8, 256, 0, 16)
    data.SeriesInstanceUID, data.StudyInstanceUID, data.SOPInstanceUID = SERIES, STUDY, f"{SERIES}.7"
    for colour in ("Red", "Green", "Blue") if segments else ():
        delattr(data, f"{colour}PaletteColorLookupTableData")
        parts = np.array([0, 6, 0, 65535, 5, 9, 200, 100, 1, 100, 65535, 2, 1, 0, 0, 1, 144, 20], "<u2").tobytes()
        setattr(data, f"Segmented{colour}PaletteColorLookupTableData", parts)
    foreign_series.save(folder / "image.dcm", data, ExplicitVRLittleEndian, native_frames(6, samples=1).tobytes())
    return folder


def _offset_table(kind: str, folder: Path) -> Path:
    frames = jpeg_frames(6)
    tables: list[bytes] = []
    if kind == "extended":
        value, *tables = encapsulate_extended(frames)
    elif kind == "wrong":
        value = item(bytes(24)) + b"".join(item(padded(frame)) for frame in frames)
    else:
        value = encapsulate(frames, fragments_per_frame=2 if kind == "fragments" else 1, has_bot=kind != "none")
    return _saved(folder, "image", _image("image"), value, tables)


def _lights(*names: str) -> list[Dataset]:
    paths = [Dataset() for _ in names]
    for path, name in zip(paths, names, strict=True):
        path.OpticalPathIdentifier = name
        path.IlluminationTypeCodeSequence = [Dataset()]
        path.IlluminationTypeCodeSequence[0].CodeMeaning = "Brightfield illumination"
    return paths


def _sparse(folder: Path, *, syntax: str = ExplicitVRLittleEndian, organization: str = "TILED_SPARSE") -> Path:
    """Some tiles of two optical paths at two depths each."""
    places = [(place, z, path) for path in "AB" for z in (0.0, 1.5) for place in _GRID[:5]]
    groups = per_frame_groups(
        [place for place, _, _ in places], z_um=[z for _, z, _ in places], path=[path for *_, path in places]
    )
    picture = sparse(_image("image", syntax=syntax, attributes={"OpticalPathSequence": _lights("A", "B")}), groups)
    picture.attributes |= {"DimensionOrganizationType": organization, "TotalPixelMatrixFocalPlanes": 2}
    order = ">" if syntax == ExplicitVRBigEndian else "<"
    frames = native_frames(len(groups), kind="u2", samples=1)
    picture.photometric = "MONOCHROME2"
    return _saved(folder, "image", picture, frames.astype(f"{order}u2").tobytes(), bits=16)


def _planes(folder: Path) -> Path:
    """TILED_FULL: two optical paths, three focal planes."""
    measures = Dataset()
    measures.PixelMeasuresSequence = [Dataset()]
    measures.PixelMeasuresSequence[0].PixelSpacing = ["0.0005", "0.0005"]
    measures.PixelMeasuresSequence[0].SpacingBetweenSlices = "0.0015"
    origin = Dataset()
    origin.XOffsetInSlideCoordinateSystem, origin.YOffsetInSlideCoordinateSystem = "10.5", "20.25"
    attributes = {
        "OpticalPathSequence": _lights("A", "B"),
        "SharedFunctionalGroupsSequence": [measures],
        "TotalPixelMatrixOriginSequence": [origin],
        "ImageOrientationSlide": ["0", "-1", "0", "-1", "0", "0"],
        "TotalPixelMatrixFocalPlanes": 3,
        "RecommendedAbsentPixelCIELabValue": [65535, 32896, 32896],
    }
    return _saved(folder, "image", _image("image", frames=36, attributes=attributes), encapsulate(jpeg_frames(36)))


def _concatenation(folder: Path, *, full: bool) -> Path:
    """Two parts of three frames."""
    for part in (0, 1):
        attributes = {
            "ConcatenationUID": f"{SERIES}.9",
            "ConcatenationFrameOffsetNumber": 3 * part,
            "InConcatenationNumber": part + 1,
            "InConcatenationTotalNumber": 2,
            "SOPInstanceUIDOfConcatenationSource": f"{SERIES}.10",
        }
        picture = _image(f"part {part}", frames=3)
        picture.attributes |= attributes
        if not full:
            picture = sparse(picture, per_frame_groups(_GRID[3 * part :][:3]))
        _saved(folder, f"part{part}", picture, encapsulate(jpeg_frames(3)))
    return folder


def _series(folder: Path) -> Path:
    """Two levels, a thumbnail, a label and an overview."""
    _saved(folder, "a", _image("a"), encapsulate(jpeg_frames(6)))
    coarser = _image("b", width=22, height=15, frames=2)
    coarser.attributes["ImageType"] = ["DERIVED", "PRIMARY", "VOLUME", "RESAMPLED"]
    _saved(folder, "b", coarser, encapsulate(jpeg_frames(2)))
    for name, flavor in (("c", "THUMBNAIL"), ("d", "LABEL"), ("e", "OVERVIEW")):
        picture = _image(name, width=TILE, height=TILE, frames=1, flavor=flavor)
        picture.attributes |= {"LabelText": "S24-17", "BarcodeValue": "1234", "SpecificCharacterSet": "ISO_IR 100"}
        _saved(folder, name, picture, encapsulate(jpeg_frames(1)))
    return folder


def _foreign_habits(folder: Path) -> Path:
    """Group lengths, private elements, one of them large, sequences of unknown VR, a trailing element."""
    data = foreign_series.header(_image("image", syntax=DeflatedExplicitVRLittleEndian))
    block = data.private_block(0x3001, "SOMEBODY", create=True)
    block.add_new(1, "OB", bytes(70_000))
    block.add_new(2, "UN", b"\xfe\xff\x00\xe0\xff\xff\xff\xff\xfe\xff\x0d\xe0\0\0\0\0")
    data.add_new(Tag(0x0008, 0x0000), "UL", 100)
    data.add_new(Tag(0xFFFC, 0xFFFC), "OB", bytes(10))
    data.SamplesPerPixel, data.PhotometricInterpretation = 3, "RGB"
    foreign_series.save(folder / "image.dcm", data, DeflatedExplicitVRLittleEndian, native_frames(6).tobytes())
    return folder


def _archive(folder: Path) -> Path:
    _series(folder)
    members = [(f"slide/{path.name}", path.read_bytes()) for path in sorted(folder.iterdir())]
    for path in list(folder.iterdir()):
        path.unlink()
    (folder / "slide.zip").write_bytes(zipped([("README.txt", b"hello"), *members]))
    return folder / "slide.zip"


def _medium(folder: Path) -> Path:
    """With the records of its images alone, in a flat list."""
    below = folder / "SLIDE"
    below.mkdir()
    records = []
    for number, path in enumerate(sorted(_series(below).iterdir())):
        path.rename(below / f"IM{number}")
        record = Dataset()
        record.OffsetOfTheNextDirectoryRecord, record.RecordInUseFlag = 0, 0xFFFF
        record.DirectoryRecordType, record.ReferencedFileID = "IMAGE", ["SLIDE", f"IM{number}"]
        record.ReferencedTransferSyntaxUIDInFile = _PICTURE.syntax
        records.append(record)
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.MediaStorageSOPClassUID = MediaStorageDirectoryStorage
    data.file_meta.MediaStorageSOPInstanceUID = UID(f"{SERIES}.11")
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.FileSetID, data.DirectoryRecordSequence = "SLIDES", records
    data.save_as(folder / "DICOMDIR", enforce_file_format=True)
    return folder / "DICOMDIR"


def encodings() -> Mapping[str, Write]:
    """Every transfer syntax, and every kind of uncompressed pixels in every kind of data set."""
    made: dict[str, Write] = {
        f"{encoding.transfer_syntax} {pixel_format.bits}": partial(_encoded, encoding, pixel_format, stream)
        for encoding, pixel_format, stream in streams()
        if encoding.transfer_syntax in KNOWN
    }
    for syntax in test_dicom_pixels.NATIVE:
        made[f"gray {syntax}"] = partial(_native, syntax, 16)
        made[f"planar {syntax}"] = partial(_native, syntax, 8, PlanarConfiguration=1)
    shared = partial(_native, ExplicitVRBigEndian, 8, value=bytes(6 * 2 * TILE * TILE))
    made["chroma shared"] = partial(shared, PhotometricInterpretation="YBR_FULL_422", PlanarConfiguration=0)
    signed = partial(_native, ExplicitVRLittleEndian, 16, BitsStored=12, HighBit=11, PixelRepresentation=1)
    made["signed"] = partial(signed, RescaleSlope="0.5", RescaleIntercept="1024", WindowCenter="40", WindowWidth="80")
    made["inverted"] = partial(_native, ExplicitVRLittleEndian, 8, PhotometricInterpretation="MONOCHROME1")
    made["palette"], made["segments"] = partial(_palette, segments=False), partial(_palette, segments=True)
    return made


def layouts() -> Mapping[str, Write]:
    """Where frames lie, in the file and on the slide."""
    tables = ("basic", "extended", "none", "wrong", "fragments")
    return {f"{kind} offset table": partial(_offset_table, kind) for kind in tables} | {
        "sparse": _sparse,
        "sparse, big endian": partial(_sparse, syntax=ExplicitVRBigEndian),
        "sparse, implicit VR": partial(_sparse, syntax="1.2.840.10008.1.2"),
        "sparse, unsaid": partial(_sparse, organization=""),
        "planes": _planes,
        "concatenation, full": partial(_concatenation, full=True),
        "concatenation, sparse": partial(_concatenation, full=False),
        "levels": _series,
        "habits": _foreign_habits,
    }


def media() -> Mapping[str, Write]:
    return {"archive": _archive, "medium": _medium}
