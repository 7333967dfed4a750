"""Writing all images of one slide as a series: levels, thumbnail, label and overview."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from pydicom.dataset import Dataset

from wsi_dicom.codecs import encode_tile
from wsi_dicom.codecs.transfer_syntaxes import lossy_method
from wsi_dicom.dicom.additions import adopt_identifiers, check_additions
from wsi_dicom.dicom.dataset import image_dataset
from wsi_dicom.dicom.description import ImageDescription, ImagedVolume, LossyStep
from wsi_dicom.dicom.uids import SeriesIdentity
from wsi_dicom.dicom.writer import InstanceWriter
from wsi_dicom.geometry import Level, PixelFormat, Spacing
from wsi_dicom.plan import Action, ConversionPlan, largest_total
from wsi_dicom.slide import AssociatedImage, Encoding, ImageFlavor, Slide

ASSUMED_WIDTH_MM = 15.0
"""Width of a slide that tells no spacing: what Orthanc's tool assumes."""


def choose_identity(seed: str | None, additions: Dataset) -> SeriesIdentity:
    """UIDs for a new series: random ones without a seed, and those that the user's attributes give.

    Raises InvalidRequest for attributes that the user may not give.
    """
    check_additions(additions)
    identity = SeriesIdentity.random() if seed is None else SeriesIdentity.deterministic(seed)
    return adopt_identifiers(identity, additions)


class SeriesWriter:
    """Writes the images of `slide` into `folder` as `plan` says, one file each. `files` are those complete."""

    def __init__(
        self, folder: Path, slide: Slide, plan: ConversionPlan, identity: SeriesIdentity, additions: Dataset
    ) -> None:
        self._folder, self._slide, self._plan = folder, slide, plan
        self._identity, self._additions = identity, additions
        self.files: list[Path] = []
        self.warnings: list[str] = []
        base = slide.pyramid.base
        spacing = slide.pyramid.spacing
        self._comments = None
        if spacing is None:
            side = ASSUMED_WIDTH_MM / base.width
            spacing = Spacing(side, side)
            self._comments = f"Pixel spacing unknown: an imaged width of {ASSUMED_WIDTH_MM:g} mm was assumed."
            self.warnings.append(
                f"{slide.name}: tells no pixel spacing; an imaged width of {ASSUMED_WIDTH_MM:g} mm is assumed"
            )
        self._spacing = spacing
        self._volume = ImagedVolume(base.width * spacing.x_mm, base.height * spacing.y_mm)

    @contextmanager
    def level_sinks(self) -> Iterator[list[InstanceWriter]]:
        """A writer for every level, open together; complete files when the context ends well, none otherwise."""
        with ExitStack() as stack:
            descriptions = [self._level_description(number) for number in range(len(self._plan.levels))]
            yield [
                stack.enter_context(self._writer(description, largest_total(self._slide, level)))
                for description, level in zip(descriptions, self._plan.levels, strict=True)
            ]
        self.files += [self._path(description) for description in descriptions]

    def write_associated(self) -> None:
        """Writes the slide's other pictures. One that DICOM cannot hold is left out, with a warning."""
        number = len(self._plan.levels)
        for flavor, plan in self._plan.associated.items():
            image = self._slide.associated[flavor]
            if max(image.width, image.height) > 0xFFFF:
                self.warnings.append(
                    f"{self._slide.name}: the {flavor.lower()} of {image.width} x {image.height} pixels is left out: "
                    "DICOM allows 65535 per side"
                )
                continue
            number += 1
            stored = image.encoded() if plan.action is Action.COPY else None
            frame = stored.data if stored else encode_tile(image.pixels(), plan.encoding, self._plan.quality)
            description = self._associated_description(flavor, number, image, plan.encoding, plan.action)
            with self._writer(description, len(frame)) as writer:
                writer.write(frame)
            self.files.append(self._path(description))

    def _writer(self, description: ImageDescription, largest_total: int) -> InstanceWriter:
        dataset = image_dataset(self._identity, description, self._slide.metadata, self._volume, self._additions)
        return InstanceWriter(
            self._path(description),
            dataset,
            frame_count=description.level.tile_count,
            largest_total=largest_total,
        )

    def _path(self, description: ImageDescription) -> Path:
        return self._folder / f"{description.sop_instance_uid}.dcm"

    def _level_description(self, number: int) -> ImageDescription:
        level = self._plan.levels[number]
        size = level.output
        finest = self._plan.levels[0].output
        resampled = number > 0
        return ImageDescription(
            flavor=ImageFlavor.VOLUME,
            instance_number=number + 1,
            sop_instance_uid=self._identity.instance_uid(f"level {number}"),
            level=size,
            spacing=self._spacing.scaled(finest.width / size.width, finest.height / size.height),
            pixel_format=self._plan.pixel_format,
            encoding=level.encoding,
            resampled=resampled,
            reencoded=level.action is not Action.COPY and lossy_method(level.encoding.transfer_syntax) is not None,
            lossy=_lossy_history(
                self._slide.lossy_method(level.source_level),
                self._slide.stored_bytes(level.source_level),
                self._slide.pyramid.level(level.source_level),
                self._plan.pixel_format,
                level.encoding,
                level.action,
            ),
            source_uid=self._identity.instance_uid("level 0") if resampled else None,
            image_comments=self._comments,
        )

    def _associated_description(
        self, flavor: ImageFlavor, number: int, image: AssociatedImage, encoding: Encoding, action: Action
    ) -> ImageDescription:
        size = Level(image.width, image.height, image.width, image.height)
        lossy = _lossy_history(image.lossy_method, image.stored_bytes, size, image.pixel_format, encoding, action)
        spacing = None
        if flavor is ImageFlavor.THUMBNAIL:
            finest = self._plan.levels[0].output
            spacing = self._spacing.scaled(finest.width / image.width, finest.height / image.height)
        return ImageDescription(
            flavor=flavor,
            instance_number=number,
            sop_instance_uid=self._identity.instance_uid(flavor.lower()),
            level=size,
            spacing=spacing,
            pixel_format=image.pixel_format,
            encoding=encoding,
            resampled=flavor is ImageFlavor.THUMBNAIL,
            reencoded=action is Action.ENCODE and lossy_method(encoding.transfer_syntax) is not None,
            lossy=lossy,
            source_uid=self._identity.instance_uid("level 0") if flavor is ImageFlavor.THUMBNAIL else None,
        )


def _lossy_history(
    method: str | None, stored_bytes: int, stored: Level, pixel_format: PixelFormat, encoding: Encoding, action: Action
) -> tuple[LossyStep, ...]:
    """The source's own compression, then ours (PS3.3 C.7.6.1.1.5). The ratio of what we write is measured."""
    if action is Action.COPY:
        return () if method is None else (LossyStep(method),)
    steps: list[LossyStep] = []
    if method is not None:
        pixels = stored.tile_count * stored.tile_width * stored.tile_height
        steps.append(LossyStep(method, pixels * pixel_format.bytes_per_pixel / max(1, stored_bytes)))
    ours = lossy_method(encoding.transfer_syntax)
    return (*steps, LossyStep(ours)) if ours is not None else tuple(steps)
