"""Rules between the attributes of one image (PS3.3 C.8.12.4 and the modules around it)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Final

from pydicom.config import IGNORE
from pydicom.dataelem import DataElement
from pydicom.uid import UID

from wsi_dicom.codecs import transfer_syntaxes as syntaxes
from wsi_dicom.codecs.transfer_syntaxes import lossy_method, transfer_syntax_name
from wsi_dicom.validation.finding import Finding
from wsi_dicom.validation.image import Image, decimals, items

_IMAGE_TYPE: Final = (
    ("ORIGINAL", "DERIVED"),
    ("PRIMARY",),
    ("VOLUME", "THUMBNAIL", "LABEL", "OVERVIEW"),
    ("NONE", "RESAMPLED"),
)
_SHOWS_LABEL: Final = {"VOLUME": "NO", "THUMBNAIL": "NO", "LABEL": "YES", "OVERVIEW": "YES"}
_COLOUR: Final = {
    **dict.fromkeys(syntaxes.NATIVE, ("PS3.5 8.2", ("RGB",))),
    syntaxes.JPEG_BASELINE: ("PS3.5 8.2.1", ("YBR_FULL_422", "RGB")),
    syntaxes.JPEG_EXTENDED: ("PS3.5 8.2.1", ("YBR_FULL_422", "RGB")),
    syntaxes.JPEG_LOSSLESS: ("PS3.5 8.2.1", ("RGB",)),
    syntaxes.JPEG_LOSSLESS_SV1: ("PS3.5 8.2.1", ("RGB",)),
    syntaxes.RLE: ("PS3.5 8.2.2", ("RGB",)),
    syntaxes.JPEG_LS_LOSSLESS: ("PS3.5 8.2.3", ("RGB",)),
    syntaxes.JPEG_LS_NEAR_LOSSLESS: ("PS3.5 8.2.3", ("RGB",)),
    syntaxes.JPEG_2000_LOSSLESS: ("PS3.5 8.2.4", ("YBR_RCT", "RGB")),
    syntaxes.JPEG_2000: ("PS3.5 8.2.4", ("YBR_ICT", "YBR_RCT", "RGB")),
    syntaxes.HTJ2K_LOSSLESS: ("PS3.5 8.2.14", ("YBR_RCT", "RGB")),
    syntaxes.HTJ2K_LOSSLESS_RPCL: ("PS3.5 8.2.14", ("YBR_RCT", "RGB")),
    syntaxes.HTJ2K: ("PS3.5 8.2.14", ("YBR_ICT", "YBR_RCT", "RGB")),
    syntaxes.JPEG_XL_LOSSLESS: ("PS3.5 8.2.15", ("RGB",)),
    syntaxes.JPEG_XL_RECOMPRESSION: ("PS3.5 8.2.15", ("YBR_FULL_422", "RGB")),
    syntaxes.JPEG_XL: ("PS3.5 8.2.15", ("RGB", "XYB")),
    syntaxes.DEFLATED_IMAGE_FRAME: ("PS3.5 8.2.16", ("RGB",)),
}
_SIZES: Final = (
    "NumberOfFrames",
    "Rows",
    "Columns",
    "TotalPixelMatrixColumns",
    "TotalPixelMatrixRows",
    "TotalPixelMatrixFocalPlanes",
    "NumberOfOpticalPaths",
)
_LISTS_OF_REFERENCES: Final = ("ReferencedSeriesSequence", "StudiesContainingOtherReferencedInstancesSequence")
_ICC_HEADER: Final = 128


def check_file_meta(image: Image) -> Iterator[Finding]:
    """The file meta information tells the same instance as the data set (PS3.10 7.1)."""
    meta = image.file_meta
    for keyword, told in (("MediaStorageSOPClassUID", "SOPClassUID"), ("MediaStorageSOPInstanceUID", "SOPInstanceUID")):
        value = str(meta.get(keyword) or "")
        if value != image.text(told):
            yield image.error(
                "PS3.10 7.1", f"{keyword} of the file meta information is {value or 'missing'}, not the {told}"
            )
    if image.instance.implicit_vr != (image.transfer_syntax == syntaxes.IMPLICIT_VR_LITTLE_ENDIAN):
        kind = "implicit" if image.instance.implicit_vr else "explicit"
        yield image.error("PS3.5 A", f"the data set has {kind} VR; transfer syntax {image.transfer_syntax} excludes it")
    for keyword in ("FileMetaInformationVersion", "ImplementationClassUID"):
        if not meta.get(keyword):
            yield image.error("PS3.10 7.1", f"{keyword} is missing in the file meta information")


def check_uids(image: Image) -> Iterator[Finding]:
    """UIDs have digits and dots, no leading zeros and at most 64 characters (PS3.5 9.1)."""
    for element in chain(image.file_meta, image.header.iterall()):
        if element.VR != "UI" or element.is_empty:
            continue
        values = [element.value] if isinstance(element.value, str) else element.value
        for value in values:
            if not UID(value, validation_mode=IGNORE).is_valid:
                yield image.error("PS3.5 9.1", f"{element.keyword or element.tag} is {value!r}, which is no valid UID")


def check_image_type(image: Image) -> Iterator[Finding]:
    """Exactly four values, each of its own list; the frame type repeats them."""
    values = image.image_type
    if len(values) != len(_IMAGE_TYPE):
        yield image.error("PS3.3 C.8.12.4.1.1", f"ImageType has {len(values)} values, {len(_IMAGE_TYPE)} are allowed")
    for number, (value, allowed) in enumerate(zip(values, _IMAGE_TYPE, strict=False), start=1):
        if value not in allowed:
            yield image.error(
                "PS3.3 C.8.12.4.1.1", f"value {number} of ImageType is {value!r}; {', '.join(allowed)} is allowed"
            )
    frame_type = image.shared("WholeSlideMicroscopyImageFrameTypeSequence").get("FrameType")
    if frame_type and list(frame_type) != values:
        yield image.error("PS3.3 C.8.12.9", f"FrameType is {'/'.join(frame_type)}, not the same as ImageType")


def check_flavor(image: Image) -> Iterator[Finding]:
    """What each flavour demands beside its modules: the label seen or not, one frame, no pyramid."""
    flavor = image.flavor
    if flavor not in _SHOWS_LABEL:
        return
    seen, due = image.text("SpecimenLabelInImage"), _SHOWS_LABEL[flavor]
    if seen in ("YES", "NO") and seen != due:
        yield image.error("PS3.3 C.8.12.4.1.1", f"SpecimenLabelInImage is {seen}; {due} is due for {flavor}")
    if flavor == "VOLUME":
        return
    if image.frames not in (None, 1):
        yield image.error("PS3.3 C.8.12.4.1.1", f"{flavor} has {image.frames} frames; one is allowed")
    if flavor != "THUMBNAIL" and "PyramidUID" in image.header:
        yield image.error("PS3.3 A.32.8.3", f"PyramidUID is there, but {flavor} is no level of a pyramid")


def check_sizes(image: Image) -> Iterator[Finding]:
    """Numbers of frames, tiles and pixels are not 0."""
    for keyword in _SIZES:
        size = image.integer(keyword)
        if size is not None and size < 1:
            yield image.error("PS3.3 C.8.12.4", f"{keyword} is {size}; at least 1 is due")


def check_samples(image: Image) -> Iterator[Finding]:
    """Bits and samples that C.8.12.4.1.5 binds together."""
    allocated, stored, high = (image.integer(keyword) for keyword in ("BitsAllocated", "BitsStored", "HighBit"))
    if None not in (allocated, stored) and stored != allocated:
        yield image.error(
            "PS3.3 C.8.12.4", f"BitsStored is {stored}, BitsAllocated is {allocated}: they have to be equal"
        )
    if stored is not None and high is not None and high != stored - 1:
        yield image.error("PS3.3 C.7.6.3", f"HighBit is {high}; one less than BitsStored ({stored}) is due")
    if image.samples == 1 and "PlanarConfiguration" in image.header:
        yield image.error("PS3.3 C.7.6.3", "PlanarConfiguration is there, which one sample a pixel does not allow")
    photometric = image.text("PhotometricInterpretation")
    if image.samples and photometric and (image.samples == 1) != (photometric == "MONOCHROME2"):
        yield image.error(
            "PS3.3 C.7.6.3.1.2", f"PhotometricInterpretation {photometric} does not fit {image.samples} samples a pixel"
        )


def check_photometric(image: Image) -> Iterator[Finding]:
    """The photometric interpretations that a transfer syntax can hold."""
    photometric = image.text("PhotometricInterpretation")
    if image.transfer_syntax not in _COLOUR or photometric in ("", "MONOCHROME2"):
        return
    clause, allowed = _COLOUR[image.transfer_syntax]
    if photometric not in allowed:
        name = transfer_syntax_name(image.transfer_syntax)
        yield image.error(
            clause, f"PhotometricInterpretation is {photometric}; {' or '.join(allowed)} is due where pixels are {name}"
        )


def check_optical_paths(image: Image) -> Iterator[Finding]:
    """As many as told, each with its light, and for colour an ICC profile of an input device (C.11.15.1.1)."""
    paths = items(image.header, "OpticalPathSequence")
    told = image.integer("NumberOfOpticalPaths")
    if told is not None and paths and told != len(paths):
        yield image.error(
            "PS3.3 C.8.12.5", f"NumberOfOpticalPaths is {told}, OpticalPathSequence has {len(paths)} items"
        )
    for number, path in enumerate(paths, start=1):
        if not (path.get("IlluminationColorCodeSequence") or "IlluminationWaveLength" in path):
            yield image.error(
                "PS3.3 C.8.12.5",
                f"optical path {number} has neither IlluminationColorCodeSequence nor IlluminationWaveLength",
            )
        profile = path.get("ICCProfile")
        if image.samples == 3 and not profile:
            yield image.error("PS3.3 C.8.12.5", f"optical path {number} has no ICCProfile, which colour requires")
        elif image.samples == 3 and (fault := _profile_fault(profile)):
            yield image.error("PS3.3 C.11.15.1.1", f"the ICCProfile of optical path {number} {fault}")
        elif image.samples == 1 and profile is not None and "PaletteColorLookupTableSequence" not in path:
            yield image.error("PS3.3 C.8.12.5", f"optical path {number} has an ICCProfile, which gray does not allow")


def _profile_fault(profile: bytes) -> str:
    if len(profile) < _ICC_HEADER or profile[36:40] != b"acsp" or int.from_bytes(profile[:4], "big") > len(profile):
        return "is broken or cut off"
    if profile[12:16] != b"scnr":
        return f"is of class {_signature(profile[12:16])}; an input device's (scnr) is due"
    if profile[16:20] != b"RGB ":
        return f"is for {_signature(profile[16:20])} pixels; RGB is due"
    if profile[20:24] not in (b"XYZ ", b"Lab "):
        return f"connects to {_signature(profile[20:24])}; XYZ or Lab is due"
    return ""


def _signature(four: bytes) -> str:
    return repr(four.decode("latin-1"))


def check_lossy(image: Image) -> Iterator[Finding]:
    """Lossy Image Compression and its methods and ratios agree with each other and with the transfer syntax."""
    clause = "PS3.3 C.7.6.1.1.5"
    told, name = image.text("LossyImageCompression"), transfer_syntax_name(image.transfer_syntax)
    if told == "00" and image.transfer_syntax in syntaxes.ALWAYS_LOSSY:
        yield image.error(clause, f"LossyImageCompression is 00, but pixels are {name}, which is lossy")
    methods = [method for method in image.text("LossyImageCompressionMethod").split("\\") if method]
    ratios = decimals(image.header, "LossyImageCompressionRatio")
    if told == "00" and (methods or ratios):
        yield image.error(clause, "LossyImageCompression is 00, but a method or ratio of a lossy compression is told")
    if told != "01":
        return
    if methods and ratios and len(methods) != len(ratios):
        yield image.error(
            clause, f"LossyImageCompressionMethod has {len(methods)} values, the ratios are {len(ratios)}"
        )
    for ratio in ratios:
        if not (math.isfinite(ratio) and ratio > 0):
            yield image.error(clause, f"LossyImageCompressionRatio is {ratio:g}; a positive number is due")
    expected = lossy_method(image.transfer_syntax)
    if image.transfer_syntax in syntaxes.ALWAYS_LOSSY and methods and methods[-1] != expected:
        yield image.error(
            clause, f"the last LossyImageCompressionMethod is {methods[-1]}; {expected} is due where pixels are {name}"
        )


def check_references(image: Image) -> Iterator[Finding]:
    """Common Instance Reference lists the instances that functional groups refer to, and is left out without any."""
    top = [element for element in image.header if element.keyword not in _LISTS_OF_REFERENCES]
    referenced = {str(element.value) for element in _nested(top) if element.keyword == "ReferencedSOPInstanceUID"}
    lists = [element for element in image.header if element.keyword in _LISTS_OF_REFERENCES]
    listed = {str(element.value) for element in _nested(lists) if element.keyword == "ReferencedSOPInstanceUID"}
    for uid in sorted(referenced - listed):
        yield image.error("PS3.3 C.12.2", f"{uid} is referred to, but missing in ReferencedSeriesSequence")
    per_frame = image.pixel_data is not None and image.pixel_data.per_frame_groups is not None
    if lists and not referenced and not per_frame:
        yield image.error("PS3.3 C.12.2", f"{lists[0].keyword} is there, but no instance is referred to")


def _nested(elements: Iterable[DataElement]) -> Iterator[DataElement]:
    for element in elements:
        yield element
        if element.VR == "SQ":
            for item in element.value:
                yield from item.iterall()


def check_imaged_volume(image: Image) -> Iterator[Finding]:
    """The imaged volume has a size, and is as large as all pixels together (C.8.12.4.1.2)."""
    level, spacing = image.level, image.spacing
    for keyword in ("ImagedVolumeWidth", "ImagedVolumeHeight", "ImagedVolumeDepth"):
        for value in decimals(image.header, keyword):
            if not (math.isfinite(value) and value > 0):
                yield image.error("PS3.3 C.8.12.4.1.2", f"{keyword} is {value:g}; a positive number is due")
    if level is None or image.flavor != "VOLUME":
        return
    if spacing is None:
        if decimals(image.shared("PixelMeasuresSequence"), "PixelSpacing"):
            yield image.error("PS3.3 C.7.6.16.2.1", "PixelSpacing is not two positive numbers")
        return
    for keyword, pixels, step in (
        ("ImagedVolumeWidth", level.width, spacing.x_mm),
        ("ImagedVolumeHeight", level.height, spacing.y_mm),
    ):
        for told in decimals(image.header, keyword):
            if told > 0 and abs(pixels * step - told) > max(0.01 * told, step):
                yield image.error(
                    "PS3.3 C.8.12.4.1.2",
                    f"{keyword} is {told:g} mm; {pixels} pixels of {step:g} mm are {pixels * step:g}",
                )
