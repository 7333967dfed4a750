"""The modules of a whole slide image that describe its pixels and where they lie (PS3.3 A.32.8).

Each function adds one module, or a few small ones, to the dataset.
"""

from __future__ import annotations

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.valuerep import DSfloat

from wsi_dicom.codecs.transfer_syntaxes import transfer_syntax_name
from wsi_dicom.dicom.description import ImageDescription, ImagedVolume
from wsi_dicom.dicom.uids import VL_WHOLE_SLIDE, SeriesIdentity
from wsi_dicom.dicom.values import clean_text, code, date_time, decimal
from wsi_dicom.geometry import Spacing
from wsi_dicom.metadata import SlideMetadata
from wsi_dicom.slide import ImageFlavor

RATIO_TO_MEASURE = "0.00000000000000"
"""Stands for a Lossy Image Compression Ratio that the writer measures: as long as a decimal string may be."""

_SLIDE_WIDTH_MM = 25.0
_NOMINAL = "Spacing and position are nominal: the short side is taken for the 25 mm that a slide is wide."


def add_general_image(
    dataset: Dataset, identity: SeriesIdentity, image: ImageDescription, metadata: SlideMetadata
) -> None:
    """SOP Common (C.12.1), General Image (C.7.6.1) and General Acquisition (C.7.10.1)."""
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.SOPClassUID = VL_WHOLE_SLIDE
    dataset.SOPInstanceUID = image.sop_instance_uid
    dataset.InstanceNumber = image.instance_number
    dataset.ImageType = image.image_type
    dataset.ContentDate = identity.created.strftime("%Y%m%d")
    dataset.ContentTime = identity.created.strftime("%H%M%S.%f")
    # the same in every image of the slide: Bio-Formats puts together what was acquired together
    dataset.AcquisitionDateTime = date_time(metadata.acquired or identity.created)
    comments = [comment for comment in (image.image_comments, _NOMINAL if _is_nominal(image) else None) if comment]
    if comments:
        dataset.ImageComments = clean_text(" ".join(comments), 10240)
    _add_derivation(dataset, image)
    dataset.LossyImageCompression = "01" if image.lossy else "00"
    if image.lossy:
        dataset.LossyImageCompressionMethod = [step.method for step in image.lossy]
        dataset.LossyImageCompressionRatio = [
            DSfloat(RATIO_TO_MEASURE if step.ratio is None else decimal(step.ratio)) for step in image.lossy
        ]


def _add_derivation(dataset: Dataset, image: ImageDescription) -> None:
    steps = Sequence()
    words = []
    if image.resampled:
        steps.extend(code("113085", "DCM", "Spatial resampling"))
        words.append("resampled from a finer level")
    if image.reencoded:
        steps.extend(code("113040", "DCM", "Lossy Compression"))
        words.append(f"compressed again as {transfer_syntax_name(image.encoding.transfer_syntax)}")
    if words:
        dataset.DerivationDescription = ", ".join(words).capitalize()
        dataset.DerivationCodeSequence = steps


def add_pixel_description(dataset: Dataset, image: ImageDescription) -> None:
    """Image Pixel (C.7.6.3) and what C.8.12.4.1.5 makes of it."""
    pixels = image.pixel_format
    dataset.SamplesPerPixel = pixels.samples
    dataset.PhotometricInterpretation = image.encoding.photometric
    if pixels.samples > 1:
        dataset.PlanarConfiguration = 0
    dataset.NumberOfFrames = image.level.tile_count
    dataset.Rows = image.level.tile_height
    dataset.Columns = image.level.tile_width
    dataset.BitsAllocated = dataset.BitsStored = pixels.bits
    dataset.HighBit = pixels.bits - 1
    dataset.PixelRepresentation = 0
    if pixels.samples == 1:
        dataset.PresentationLUTShape = "IDENTITY"
        dataset.RescaleIntercept = "0"
        dataset.RescaleSlope = "1"


def add_whole_slide_image(dataset: Dataset, image: ImageDescription, volume: ImagedVolume) -> None:
    """Whole Slide Microscopy Image (C.8.12.4)."""
    dataset.VolumetricProperties = "VOLUME"
    # an overview shows part of the label, and what is written there may name a patient
    dataset.SpecimenLabelInImage = dataset.BurnedInAnnotation = "YES" if image.shows_label else "NO"
    dataset.FocusMethod = "AUTO"
    dataset.ExtendedDepthOfField = "NO"
    if not image.shows_label:
        dataset.ImagedVolumeWidth = volume.width_mm
        dataset.ImagedVolumeHeight = volume.height_mm
        dataset.ImagedVolumeDepth = volume.depth_um


def add_place(dataset: Dataset, identity: SeriesIdentity, image: ImageDescription) -> None:
    """Frame of Reference (C.7.4.1), Pyramid (C.7.11.1), Tile Organization (C.8.12.14), Dimension (C.7.6.17).

    The slide stands upright, label on top: rows of the image run down the slide's y axis. Slim shows a label or an
    overview only when it has the frame of reference of the scan.
    """
    dataset.FrameOfReferenceUID = identity.frame_of_reference_uid
    dataset.PositionReferenceIndicator = "SLIDE_CORNER"
    if image.flavor is ImageFlavor.VOLUME:
        dataset.PyramidUID = identity.pyramid_uid
    origin = Dataset()
    origin.XOffsetInSlideCoordinateSystem = "20"
    origin.YOffsetInSlideCoordinateSystem = "40"
    origin.ZOffsetInSlideCoordinateSystem = "0"
    dataset.TotalPixelMatrixOriginSequence = Sequence([origin])
    dataset.ImageOrientationSlide = ["0", "-1", "0", "-1", "0", "0"]
    dataset.TotalPixelMatrixColumns = image.level.width
    dataset.TotalPixelMatrixRows = image.level.height
    dataset.TotalPixelMatrixFocalPlanes = 1
    organization = Dataset()
    organization.DimensionOrganizationUID = identity.dimension_organization_uid
    dataset.DimensionOrganizationSequence = Sequence([organization])
    dataset.DimensionOrganizationType = "TILED_FULL"


def add_functional_groups(dataset: Dataset, image: ImageDescription, volume: ImagedVolume) -> None:
    """Shared functional groups (A.32.8.4): TILED_FULL needs none per frame."""
    shared = Dataset()
    shared.PixelMeasuresSequence = Sequence([_pixel_measures(image, volume)])
    frame_type = Dataset()
    frame_type.FrameType = image.image_type
    shared.WholeSlideMicroscopyImageFrameTypeSequence = Sequence([frame_type])
    if image.source_uid is not None:
        shared.DerivationImageSequence = Sequence([_derivation_image(image.source_uid)])
    dataset.SharedFunctionalGroupsSequence = Sequence([shared])


def _pixel_measures(image: ImageDescription, volume: ImagedVolume) -> Dataset:
    spacing = image.spacing or _assumed_spacing(image, volume)
    measures = Dataset()
    measures.PixelSpacing = [decimal(spacing.y_mm), decimal(spacing.x_mm)]  # between rows, between columns
    measures.SliceThickness = decimal(volume.depth_um / 1000)
    return measures


def _is_nominal(image: ImageDescription) -> bool:
    return image.spacing is None and image.shows_label


def _assumed_spacing(image: ImageDescription, volume: ImagedVolume) -> Spacing:
    """A picture of the scanned part has its size; one of the whole slide has the slide's width. Slim needs a value."""
    level = image.level
    if _is_nominal(image):
        side = _SLIDE_WIDTH_MM / min(level.width, level.height)
        return Spacing(side, side)
    return Spacing(volume.width_mm / level.width, volume.height_mm / level.height)


def _derivation_image(source_uid: str) -> Dataset:
    source = _reference(source_uid)
    source.PurposeOfReferenceCodeSequence = code("121322", "DCM", "Source image for image processing operation")
    derivation = Dataset()
    derivation.SourceImageSequence = Sequence([source])
    derivation.DerivationCodeSequence = code("113085", "DCM", "Spatial resampling")
    return derivation


def add_references(dataset: Dataset, identity: SeriesIdentity, image: ImageDescription) -> None:
    """Common Instance Reference (C.12.2): present exactly when something is referenced."""
    if image.source_uid is None:
        return
    series = Dataset()
    series.SeriesInstanceUID = identity.series_uid
    series.ReferencedInstanceSequence = Sequence([_reference(image.source_uid)])
    dataset.ReferencedSeriesSequence = Sequence([series])


def _reference(sop_instance_uid: str) -> Dataset:
    reference = Dataset()
    reference.ReferencedSOPClassUID = VL_WHOLE_SLIDE
    reference.ReferencedSOPInstanceUID = sop_instance_uid
    return reference
