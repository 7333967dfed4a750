"""The dataset of one VL Whole Slide Microscopy image, without its pixels (PS3.3 A.32.8)."""

from __future__ import annotations

from dataclasses import replace

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID

from wsi_dicom.codecs.transfer_syntaxes import EXPLICIT_VR_LITTLE_ENDIAN, NATIVE
from wsi_dicom.dicom import image_modules, slide_modules
from wsi_dicom.dicom.additions import adopt_identifiers, apply_additions
from wsi_dicom.dicom.assumptions import SPACING_NOMINAL, tell_assumption
from wsi_dicom.dicom.character_sets import set_character_set
from wsi_dicom.dicom.description import ImageDescription, ImagedVolume
from wsi_dicom.dicom.frame_positions import add_dimensions, add_frame_groups
from wsi_dicom.dicom.optical_paths import add_optical_paths, drop_untold_light
from wsi_dicom.dicom.place import add_place, add_shared_groups, is_nominal
from wsi_dicom.dicom.settings import DEFAULT_SETTINGS, SeriesSettings
from wsi_dicom.dicom.uids import (
    IMPLEMENTATION_CLASS_UID,
    IMPLEMENTATION_VERSION_NAME,
    VL_WHOLE_SLIDE,
    SeriesIdentity,
    transfer_syntax_uid,
)
from wsi_dicom.metadata import SlideMetadata


def image_dataset(
    identity: SeriesIdentity,
    image: ImageDescription,
    metadata: SlideMetadata,
    volume: ImagedVolume,
    additions: Dataset,
    settings: SeriesSettings = DEFAULT_SETTINGS,
) -> Dataset:
    """All attributes but the pixel data, with `file_meta`, ready for InstanceWriter.

    `additions`, read from a user's JSON, go over what the slide tells. Raises InvalidRequest when they try to change
    what the pixels dictate, and for text that the character set cannot hold.
    """
    identity = adopt_identifiers(identity, additions)
    metadata = replace(metadata, slide_identifier=additions.get("ContainerIdentifier") or metadata.slide_identifier)
    dataset = Dataset()
    slide_modules.add_patient_and_study(dataset, identity, metadata)
    slide_modules.add_equipment(dataset, identity, metadata)
    slide_modules.add_specimen(dataset, identity, metadata)
    add_optical_paths(dataset, image, metadata, settings)
    if image.shows_label:
        slide_modules.add_slide_label(dataset, metadata)
    image_modules.add_general_image(dataset, identity, image, metadata)
    image_modules.add_pixel_description(dataset, image, metadata)
    image_modules.add_whole_slide_image(dataset, image, volume)
    image_modules.add_concatenation(dataset, image)
    add_place(dataset, identity, image, settings)
    add_dimensions(dataset, identity, image)
    add_shared_groups(dataset, image, volume)
    image_modules.add_references(dataset, identity, image)
    apply_additions(dataset, additions, image)
    for assumption in (image.image_comments, SPACING_NOMINAL if is_nominal(image) else None):
        if assumption is not None:
            tell_assumption(dataset, assumption)
    drop_untold_light(dataset)
    set_character_set(dataset, settings.character_set)
    add_frame_groups(dataset, image, volume)
    dataset.file_meta = _file_meta(image)
    return dataset


def _file_meta(image: ImageDescription) -> FileMetaDataset:
    meta = FileMetaDataset()
    meta.FileMetaInformationVersion = b"\x00\x01"
    meta.MediaStorageSOPClassUID = UID(VL_WHOLE_SLIDE)
    meta.MediaStorageSOPInstanceUID = UID(image.sop_instance_uid)
    # uncompressed pixels are the same with implicit and explicit VR; the header is always explicit
    syntax = image.encoding.transfer_syntax
    meta.TransferSyntaxUID = transfer_syntax_uid(EXPLICIT_VR_LITTLE_ENDIAN if syntax in NATIVE else syntax)
    meta.ImplementationClassUID = UID(IMPLEMENTATION_CLASS_UID)
    meta.ImplementationVersionName = IMPLEMENTATION_VERSION_NAME
    return meta
