"""The modules of a whole slide image that describe its pixels (PS3.3 A.32.8).

Each function adds one module, or a few small ones, to the dataset.
"""

from __future__ import annotations

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.valuerep import DSfloat

from wsi_dicom.codecs.transfer_syntaxes import transfer_syntax_name
from wsi_dicom.dicom.cielab import cielab_from_srgb
from wsi_dicom.dicom.description import ImageDescription, ImagedVolume
from wsi_dicom.dicom.uids import VL_WHOLE_SLIDE, SeriesIdentity
from wsi_dicom.dicom.values import clean_text, code, date_time, decimal, reference
from wsi_dicom.dicom.window import add_window
from wsi_dicom.metadata import SlideMetadata

RATIO_TO_MEASURE = "0.00000000000000"
"""Stands for a Lossy Image Compression Ratio that the writer measures: as long as a decimal string may be."""


def add_general_image(
    dataset: Dataset, identity: SeriesIdentity, image: ImageDescription, metadata: SlideMetadata
) -> None:
    """SOP Common (C.12.1), General Image (C.7.6.1) and General Acquisition (C.7.10.1)."""
    dataset.SOPClassUID = VL_WHOLE_SLIDE
    dataset.SOPInstanceUID = image.sop_instance_uid
    dataset.InstanceNumber = image.instance_number
    dataset.ImageType = image.image_type
    dataset.ContentDate = identity.created.strftime("%Y%m%d")
    dataset.ContentTime = identity.created.strftime("%H%M%S.%f")
    # the same in every image of the slide: Bio-Formats puts together what was acquired together
    dataset.AcquisitionDateTime = date_time(metadata.acquired or identity.created)
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
    sentences = [", ".join(words).capitalize(), clean_text(image.derivation_description or "", 512)]
    if any(sentences):
        dataset.DerivationDescription = "; ".join(filter(None, sentences))
    if steps:
        dataset.DerivationCodeSequence = steps


def add_pixel_description(dataset: Dataset, image: ImageDescription, metadata: SlideMetadata) -> None:
    """Image Pixel (C.7.6.3) and what C.8.12.4.1.5 makes of it; for deep grays also how they are shown."""
    pixels = image.pixel_format
    dataset.SamplesPerPixel = pixels.samples
    dataset.PhotometricInterpretation = image.encoding.photometric
    if pixels.samples > 1:
        dataset.PlanarConfiguration = 0
    dataset.NumberOfFrames = image.frame_count
    dataset.Rows = image.level.tile_height
    dataset.Columns = image.level.tile_width
    dataset.BitsAllocated = dataset.BitsStored = pixels.bits
    dataset.HighBit = pixels.bits - 1
    dataset.PixelRepresentation = 0
    if pixels.samples == 1:
        dataset.PresentationLUTShape = "IDENTITY"
        dataset.RescaleIntercept = "0"
        dataset.RescaleSlope = "1"
        if pixels.bits > 8 and metadata.window is not None:
            add_window(dataset, metadata.window)


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
    if image.absent_color is not None:
        dataset.RecommendedAbsentPixelCIELabValue = cielab_from_srgb(image.absent_color)


def add_references(dataset: Dataset, identity: SeriesIdentity, image: ImageDescription) -> None:
    """Common Instance Reference (C.12.2): present exactly when something is referenced."""
    if image.source_uid is None:
        return
    series = Dataset()
    series.SeriesInstanceUID = identity.series_uid
    series.ReferencedInstanceSequence = Sequence([reference(image.source_uid)])
    dataset.ReferencedSeriesSequence = Sequence([series])


def add_concatenation(dataset: Dataset, image: ImageDescription) -> None:
    """Which part of a split image this is (C.7.6.16.2.2.4)."""
    part = image.concatenation
    if part is None:
        return
    dataset.ConcatenationUID = part.uid
    dataset.SOPInstanceUIDOfConcatenationSource = part.source_uid
    dataset.InConcatenationNumber = part.number
    dataset.InConcatenationTotalNumber = part.total
    dataset.ConcatenationFrameOffsetNumber = part.first_frame
