"""Where an image lies on the slide, and what all of its frames share (PS3.3 C.7.4.1, C.8.12.14, A.32.8.4).

The slide stands upright, label on top: rows of the image run down the slide's y axis. Slim shows a label or an
overview only when it has the frame of reference of the scan.
"""

from __future__ import annotations

from typing import Final

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from wsi_dicom.dicom.description import ImageDescription, ImagedVolume
from wsi_dicom.dicom.settings import SeriesSettings
from wsi_dicom.dicom.uids import SeriesIdentity
from wsi_dicom.dicom.values import code, decimal, reference
from wsi_dicom.geometry import Spacing
from wsi_dicom.slide import ImageFlavor

_SLIDE_WIDTH_MM: Final = 25.0

_OFFSET_X_MM, _OFFSET_Y_MM = 20.0, 40.0
"""Where a scan of which nobody says it begins: as Orthanc's tool assumes."""


def add_place(dataset: Dataset, identity: SeriesIdentity, image: ImageDescription, settings: SeriesSettings) -> None:
    """Frame of Reference (C.7.4.1), Pyramid (C.7.11.1), Tile Organization (C.8.12.14)."""
    dataset.FrameOfReferenceUID = identity.frame_of_reference_uid
    dataset.PositionReferenceIndicator = "SLIDE_CORNER"
    if image.flavor is ImageFlavor.VOLUME:
        dataset.PyramidUID = identity.pyramid_uid
    origin = Dataset()
    origin.XOffsetInSlideCoordinateSystem = decimal(
        _OFFSET_X_MM if settings.offset_x_mm is None else settings.offset_x_mm
    )
    origin.YOffsetInSlideCoordinateSystem = decimal(
        _OFFSET_Y_MM if settings.offset_y_mm is None else settings.offset_y_mm
    )
    origin.ZOffsetInSlideCoordinateSystem = "0"
    dataset.TotalPixelMatrixOriginSequence = Sequence([origin])
    dataset.ImageOrientationSlide = ["0", "-1", "0", "-1", "0", "0"]
    dataset.TotalPixelMatrixColumns = image.level.width
    dataset.TotalPixelMatrixRows = image.level.height
    dataset.TotalPixelMatrixFocalPlanes = image.focal_planes


def add_shared_groups(dataset: Dataset, image: ImageDescription, volume: ImagedVolume) -> None:
    """Shared functional groups (A.32.8.4)."""
    shared = Dataset()
    shared.PixelMeasuresSequence = Sequence([_pixel_measures(image, volume)])
    frame_type = Dataset()
    frame_type.FrameType = image.image_type
    shared.WholeSlideMicroscopyImageFrameTypeSequence = Sequence([frame_type])
    if image.source_uid is not None:
        shared.DerivationImageSequence = Sequence([_derivation_image(image.source_uid)])
    dataset.SharedFunctionalGroupsSequence = Sequence([shared])


def image_spacing(image: ImageDescription, volume: ImagedVolume) -> Spacing:
    """A picture of the scanned part has its size; one of the whole slide has the slide's width. Slim needs a value."""
    if image.spacing is not None:
        return image.spacing
    level = image.level
    if is_nominal(image):
        side = _SLIDE_WIDTH_MM / min(level.width, level.height)
        return Spacing(side, side)
    return Spacing(volume.width_mm / level.width, volume.height_mm / level.height)


def focal_spacing_um(image: ImageDescription, volume: ImagedVolume) -> float:
    """From one focal plane to the next; what nobody told is an even share of the volume's depth."""
    return volume.depth_um / image.focal_planes if image.focal_spacing_um is None else image.focal_spacing_um


def is_nominal(image: ImageDescription) -> bool:
    return image.spacing is None and image.shows_label


def _pixel_measures(image: ImageDescription, volume: ImagedVolume) -> Dataset:
    spacing = image_spacing(image, volume)
    measures = Dataset()
    measures.PixelSpacing = [decimal(spacing.y_mm), decimal(spacing.x_mm)]  # between rows, between columns
    measures.SliceThickness = decimal(volume.depth_um / image.focal_planes / 1000)
    if image.focal_planes > 1:
        measures.SpacingBetweenSlices = decimal(focal_spacing_um(image, volume) / 1000)
    return measures


def _derivation_image(source_uid: str) -> Dataset:
    source = reference(source_uid)
    source.PurposeOfReferenceCodeSequence = code("121322", "DCM", "Source image for image processing operation")
    derivation = Dataset()
    derivation.SourceImageSequence = Sequence([source])
    derivation.DerivationCodeSequence = code("113085", "DCM", "Spatial resampling")
    return derivation
