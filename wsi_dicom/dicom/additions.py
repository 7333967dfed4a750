"""What a user adds to the attributes of every image, and what the pixels do not let a user change."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from typing import Final

import numpy as np
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from wsi_dicom.dicom.description import ImageDescription
from wsi_dicom.dicom.icc import check_profile, input_device_profile
from wsi_dicom.dicom.uids import SeriesIdentity
from wsi_dicom.errors import InvalidRequest

# fmt: off
_DICTATED: Final = frozenset({
    # which image this is
    "SOPClassUID", "SOPInstanceUID", "InstanceNumber", "ImageType", "Modality", "VolumetricProperties",
    # its pixels
    "Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration",
    "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PresentationLUTShape", "RescaleIntercept",
    "RescaleSlope", "PixelData", "FloatPixelData", "DoubleFloatPixelData", "ExtendedOffsetTable",
    "ExtendedOffsetTableLengths",
    # what was done to them
    "LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod", "DerivationDescription",
    "DerivationCodeSequence", "SourceImageSequence", "ReferencedSeriesSequence",
    # what they show, and how they lie
    "SpecimenLabelInImage", "ImagedVolumeWidth", "ImagedVolumeHeight", "ImagedVolumeDepth", "TotalPixelMatrixColumns",
    "TotalPixelMatrixRows", "TotalPixelMatrixFocalPlanes", "NumberOfOpticalPaths", "DimensionOrganizationType",
    "DimensionIndexSequence", "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence", "ConcatenationUID",
    "InConcatenationNumber", "InConcatenationTotalNumber", "ConcatenationFrameOffsetNumber",
    "SOPInstanceUIDOfConcatenationSource",
})
# fmt: on

FIRST_DATA_GROUP: Final = 0x0008
"""Below it lie commands and the file's meta information."""

_ACCEPTED_WHEN_TRUE: Final = {"Modality": "SM", "SpecimenLabelInImage": "NO"}
"""Samples of other tools carry these; they are no contradiction as long as they say this."""

_ENUMERATED: Final = {
    "PatientSex": ("M", "F", "O"),
    "FocusMethod": ("AUTO", "MANUAL"),
    "ExtendedDepthOfField": ("YES", "NO"),
    "BurnedInAnnotation": ("YES", "NO"),
}

_ORTHONORMAL: Final = 1e-3
"""How far products of the directions of a slide may be from 0 and 1: scanners round them."""

_ADOPTED: Final = frozenset(
    {
        "StudyInstanceUID",
        "SeriesInstanceUID",
        "FrameOfReferenceUID",
        "PyramidUID",
        "DimensionOrganizationSequence",
        "SpecificCharacterSet",  # the text of a JSON file is Unicode already
        *_ACCEPTED_WHEN_TRUE,
    }
)
"""Put in place by `adopt_identifiers`, or true already."""

_LABEL_ONLY: Final = frozenset({"LabelText", "BarcodeValue"})
COMPLETED: Final = frozenset({"SpecimenDescriptionSequence", "TotalPixelMatrixOriginSequence"})
"""Sequences whose items may leave out what we know: it is filled in."""


def check_additions(additions: Dataset, where: str = "dataset") -> None:
    """Raises InvalidRequest naming every attribute that the pixels dictate, or the first value that makes no sense.

    Its message begins with `where`: the file that they come from.
    """
    told = [element for element in additions if not element.is_empty]
    dictated = [
        element.keyword or str(element.tag)
        for element in told
        if element.tag.group < FIRST_DATA_GROUP
        or (element.keyword in _DICTATED and _ACCEPTED_WHEN_TRUE.get(element.keyword) != element.value)
    ]
    if dictated:
        follow, them = ("follows", "it") if len(dictated) == 1 else ("follow", "them")
        raise InvalidRequest(f"{where}: {', '.join(dictated)} {follow} from the pixels; remove {them}")
    for element in told:
        allowed = _ENUMERATED.get(element.keyword)
        if allowed is not None and element.value not in allowed:
            raise InvalidRequest(f"{where}: {element.keyword} must be one of {', '.join(allowed)}")
    _check_depth_of_field(additions, where)
    _check_orientation(additions, where)
    _check_items(additions, where)


def _check_depth_of_field(additions: Dataset, where: str) -> None:
    if additions.get("ExtendedDepthOfField") == "YES":
        missing = [k for k in ("NumberOfFocalPlanes", "DistanceBetweenFocalPlanes") if additions.get(k) is None]
        if missing:
            raise InvalidRequest(f"{where}: ExtendedDepthOfField YES needs {' and '.join(missing)} as well")


def _check_orientation(additions: Dataset, where: str) -> None:
    """Two directions on the slide, of the rows and of the columns (PS3.3 C.8.12.4.1.4)."""
    given = additions.get("ImageOrientationSlide")
    if given is None or given == "":
        return
    values = np.atleast_1d(np.array(given, dtype=float))
    if len(values) == 6:
        directions = values.reshape(2, 3)
        if np.allclose(directions @ directions.T, np.eye(2), atol=_ORTHONORMAL):
            return
    raise InvalidRequest(
        f"{where}: ImageOrientationSlide must be six numbers, two directions of length 1 at a right angle, "
        "such as 0, -1, 0, -1, 0, 0"
    )


def _check_items(additions: Dataset, where: str) -> None:
    for path in additions.get("OpticalPathSequence") or ():
        if profile := path.get("ICCProfile"):
            check_profile(profile, f"{where}: ICCProfile of OpticalPathSequence")
    for keyword in ("TotalPixelMatrixOriginSequence", "DimensionOrganizationSequence"):
        if len(additions.get(keyword) or ()) > 1:
            raise InvalidRequest(f"{where}: {keyword} must have one item, as the images have one")
    specimens = additions.get("SpecimenDescriptionSequence") or ()
    if len(specimens) > 1:
        needed = ("SpecimenIdentifier", "SpecimenUID", "SpecimenLocalizationContentItemSequence")
        for number, specimen in enumerate(specimens, start=1):
            missing = [keyword for keyword in needed if not specimen.get(keyword)]
            if missing:
                raise InvalidRequest(f"{where}: specimen {number} of {len(specimens)} lacks {', '.join(missing)}")


def adopt_identifiers(identity: SeriesIdentity, additions: Dataset) -> SeriesIdentity:
    """The identity with the UIDs that the user gives put over ours."""
    organizations = additions.get("DimensionOrganizationSequence") or [Dataset()]
    return replace(
        identity,
        study_uid=additions.get("StudyInstanceUID") or identity.study_uid,
        series_uid=additions.get("SeriesInstanceUID") or identity.series_uid,
        frame_of_reference_uid=additions.get("FrameOfReferenceUID") or identity.frame_of_reference_uid,
        pyramid_uid=additions.get("PyramidUID") or identity.pyramid_uid,
        dimension_organization_uid=organizations[0].get("DimensionOrganizationUID")
        or identity.dimension_organization_uid,
    )


def apply_additions(dataset: Dataset, additions: Dataset, image: ImageDescription) -> None:
    """Puts the user's values over ours; an empty one leaves ours as it is. Raises InvalidRequest."""
    check_additions(additions)
    for element in additions:
        keyword = element.keyword
        if element.is_empty or keyword in _ADOPTED:
            continue
        if keyword in _LABEL_ONLY and not image.shows_label:
            continue
        if keyword == "BurnedInAnnotation" and image.shows_label:
            continue  # a label shows what is written on it, whatever is said of the slide
        if keyword == "OpticalPathSequence":
            _complete_optical_paths(dataset, element.value, image)
        else:
            dataset.add(_completed(element, dataset) if keyword in COMPLETED else element)


def merged(general: Dataset, particular: Dataset) -> Dataset:
    """Both, `particular` over `general`; of a specimen that both describe, attribute by attribute."""
    result = Dataset()
    result.update(general)
    keyword = "SpecimenDescriptionSequence"
    for element in particular:
        if element.keyword == keyword and len(element.value) == len(general.get(keyword) or ()) == 1:
            result.add(_completed(element, general))
        elif not element.is_empty or element.tag not in result:
            result.add(element)
    return result


def _complete_optical_paths(dataset: Dataset, given: list[Dataset], image: ImageDescription) -> None:
    """What the user says of light goes over what the slide says: of each path, or with one item of all of them.

    A label or overview has its own light, unless one is said of all. Raises InvalidRequest.
    """
    ours = dataset.OpticalPathSequence
    if len(given) not in (1, len(ours)):
        if image.shows_label:
            return
        raise InvalidRequest(
            f"dataset: OpticalPathSequence has {len(given)} items, where the images have {len(ours)} optical paths; "
            "give as many, or one for all"
        )
    items = []
    for number, path in enumerate(ours):
        said = given[number if len(given) > 1 else 0]
        item = _over(path, said)
        if len(given) == 1 < len(ours):
            item.OpticalPathIdentifier = path.OpticalPathIdentifier
        if "ICCProfile" in item and image.pixel_format.samples == 1 and "PaletteColorLookupTableSequence" not in item:
            del item.ICCProfile  # gray pixels must not have one (C.8.12.5)
            item.pop("ColorSpace", None)
        elif said.get("ICCProfile"):
            item.ICCProfile, _ = input_device_profile(said.ICCProfile)
            if not said.get("ColorSpace"):
                item.pop("ColorSpace", None)
        items.append(item)
    dataset.OpticalPathSequence = Sequence(items)
    if len({item.OpticalPathIdentifier for item in items}) < len(items):
        raise InvalidRequest("dataset: the items of OpticalPathSequence must have different OpticalPathIdentifier")


def _completed(element: DataElement, dataset: Dataset) -> DataElement:
    """A copy of the user's sequence whose items have, beside the user's attributes, those of ours."""
    ours = dataset[element.tag].value[0]
    return DataElement(element.tag, "SQ", [_over(ours, given) for given in element.value])


def _over(ours: Dataset, given: Dataset) -> Dataset:
    """A new item, which may be changed without changing what the user gave for all images."""
    item = deepcopy(ours)
    item.update({part.tag: deepcopy(part) for part in given if not part.is_empty})
    return item
