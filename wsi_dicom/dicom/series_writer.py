"""Writing all images of one slide as a series: levels, thumbnail, label and overview."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset

from wsi_dicom.background import background_samples
from wsi_dicom.codecs import encode_tile
from wsi_dicom.codecs.transfer_syntaxes import lossy_method
from wsi_dicom.dicom.additions import adopt_identifiers, check_additions
from wsi_dicom.dicom.dataset import image_dataset
from wsi_dicom.dicom.deidentify import DeidentifyOptions, deidentify
from wsi_dicom.dicom.description import ImageDescription, ImagedVolume
from wsi_dicom.dicom.scale import Scale
from wsi_dicom.dicom.settings import DEFAULT_SETTINGS, SeriesSettings
from wsi_dicom.dicom.spooled_writer import SpooledWriter
from wsi_dicom.dicom.uids import SeriesIdentity
from wsi_dicom.dicom.writer import InstanceWriter
from wsi_dicom.frames import associated_frame
from wsi_dicom.geometry import Level
from wsi_dicom.metadata import LossyStep, OpticalPath
from wsi_dicom.plan import Action, ConversionPlan, LevelPlan, largest_total
from wsi_dicom.slide import AssociatedImage, Encoding, ImageFlavor, Slide


def choose_identity(seed: str | None, additions: Dataset) -> SeriesIdentity:
    """UIDs for a new series: random ones without a seed, and those that the user's attributes give.

    Raises InvalidRequest for attributes that the user may not give.
    """
    check_additions(additions)
    identity = SeriesIdentity.random() if seed is None else SeriesIdentity.deterministic(seed)
    return adopt_identifiers(identity, additions)


class SeriesWriter:
    """Writes the images of `slide` into `folder` as `plan` says. `files` are those complete.

    A level is one file, or more when it is larger than `largest_part` bytes (0: no limit).
    """

    def __init__(
        self,
        folder: Path,
        slide: Slide,
        plan: ConversionPlan,
        identity: SeriesIdentity,
        additions: Dataset,
        scale: Scale,
        settings: SeriesSettings = DEFAULT_SETTINGS,
        deidentified: DeidentifyOptions | None = None,
        *,
        largest_part: int = 0,
    ) -> None:
        self._folder, self._slide, self._plan = folder, slide, plan
        self._identity, self._additions, self._settings = identity, additions, settings
        self._deidentified = deidentified
        self._largest_part = largest_part
        self.files: list[Path] = []
        self.warnings: list[str] = []
        base = slide.pyramid.base
        self._comments = scale.comment
        self._spacing = scale.spacing
        self._volume = ImagedVolume(
            base.width * scale.spacing.x_mm, base.height * scale.spacing.y_mm, _depth_um(slide, settings)
        )

    @contextmanager
    def level_sinks(self) -> Iterator[list[InstanceWriter | SpooledWriter]]:
        """A writer for every level, open together; complete files when the context ends well, none otherwise."""
        writers = [self._level_writer(number) for number in range(len(self._plan.levels))]
        with ExitStack() as stack:
            for writer in writers:
                stack.enter_context(writer)
            yield writers
        self.files += [path for writer in writers for path in writer.files]

    def _level_writer(self, number: int) -> InstanceWriter | SpooledWriter:
        level, description = self._plan.levels[number], self._level_description(number)
        largest = largest_total(self._slide, level)
        whole = self._writer(description, largest)
        if not level.sparse and (not self._largest_part or largest + whole.header_size <= self._largest_part):
            return whole
        name = f"level {number}"

        def blank() -> bytes:
            grid, pixel_format = level.output, self._plan.pixel_format
            shape = grid.tile_height, grid.tile_width, pixel_format.samples
            tile = np.broadcast_to(background_samples(self._slide.background, pixel_format), shape).copy()
            return encode_tile(tile, level.encoding, self._plan.quality)

        return SpooledWriter(
            self._folder / f"{description.sop_instance_uid}.frames",
            description,
            self._plan.planes,
            largest_part=self._largest_part,
            header_size=whole.header_size,
            open_instance=self._writer,
            part_uid=lambda part: self._identity.instance_uid(name if part == 1 else f"{name} part {part}"),
            concatenation_uid=self._identity.instance_uid(f"{name} concatenation"),
            source_uid=self._identity.instance_uid(f"{name} whole"),
            blank=blank,
        )

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
            frame = associated_frame(self._slide, self._plan, flavor)
            description = self._associated_description(flavor, number, image, plan.encoding, plan.action)
            with self._writer(description, len(frame)) as writer:
                writer.write(frame)
            self.files += writer.files

    def _writer(self, description: ImageDescription, largest_total: int) -> InstanceWriter:
        dataset = image_dataset(
            self._identity, description, self._slide.metadata, self._volume, self._additions, self._settings
        )
        if self._deidentified is not None:
            deidentify(dataset, self._deidentified)
        return InstanceWriter(
            self._path(description),
            dataset,
            frame_count=description.frame_count,
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
            spacing=self._spacing.scaled(*finest.scale(size)),
            pixel_format=self._plan.pixel_format,
            encoding=level.encoding,
            resampled=resampled,
            reencoded=not level.action.keeps_tiles and lossy_method(level.encoding.transfer_syntax) is not None,
            derivation_description=None if resampled else self._slide.derivation(level.source_level),
            lossy=self._losses(level),
            source_uid=self._identity.instance_uid("level 0") if resampled else None,
            image_comments=self._comments,
            focal_planes=self._slide.pyramid.focal_planes,
            focal_spacing_um=self._slide.pyramid.focal_spacing_um,
            optical_paths=self._optical_paths(),
            absent_color=self._slide.background if level.sparse else None,
        )

    def _losses(self, level: LevelPlan) -> tuple[LossyStep, ...]:
        slide, source = self._slide, level.source_level
        grid = slide.pyramid.level(source)
        raw = len(self._plan.planes) * grid.tile_count * grid.tile_width * grid.tile_height
        ratio = raw * self._plan.pixel_format.bytes_per_pixel / max(1, slide.stored_bytes(source))
        return _with_ours(slide.losses(source), ratio, level.encoding, level.action)

    def _optical_paths(self) -> tuple[OpticalPath, ...]:
        """As the slide describes them; numbered when it has several and does not."""
        count, told = self._slide.pyramid.optical_paths, self._slide.metadata.optical_paths
        if count == 1 or len(told) == count:
            return told[:count]
        return tuple(OpticalPath(str(number)) for number in range(1, count + 1))

    def _associated_description(
        self, flavor: ImageFlavor, number: int, image: AssociatedImage, encoding: Encoding, action: Action
    ) -> ImageDescription:
        size = Level(image.width, image.height, image.width, image.height)
        ratio = image.width * image.height * image.pixel_format.bytes_per_pixel / max(1, image.stored_bytes)
        lossy = _with_ours(_once(image.lossy_method), ratio, encoding, action)
        spacing = None
        if flavor is ImageFlavor.THUMBNAIL:
            finest = self._plan.levels[0].output
            spacing = self._spacing.scaled(*finest.scale(size))
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


def _depth_um(slide: Slide, settings: SeriesSettings) -> float:
    """As the user says, else the source, else all focal planes together, and not 0."""
    if settings.imaged_depth_mm is not None:
        return settings.imaged_depth_mm * 1000
    if slide.metadata.imaged_depth_um is not None:
        return slide.metadata.imaged_depth_um
    return max(1.0, slide.pyramid.focal_planes * (slide.pyramid.focal_spacing_um or 0.0))


def _with_ours(
    losses: tuple[LossyStep, ...], stored_ratio: float, encoding: Encoding, action: Action
) -> tuple[LossyStep, ...]:
    """The source's own compressions, then ours (PS3.3 C.7.6.1.1.5). The ratio of what we write is measured."""
    ours = lossy_method(encoding.transfer_syntax)
    if action.keeps_tiles:  # what is packed losslessly has the ratio that it is stored with
        return losses
    known = tuple(replace(step, ratio=step.ratio or stored_ratio) for step in losses)
    return known if ours is None else (*known, LossyStep(ours))


def _once(method: str | None) -> tuple[LossyStep, ...]:
    return () if method is None else (LossyStep(method),)
