"""The files of an OME-TIFF set: which file has which plane, and none from elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from wsi_dicom.errors import CorruptInput, UnsupportedFormat
from wsi_dicom.geometry import Plane
from wsi_dicom.sources.ome_xml import OmeDocument, StoredPlane, is_ome, parse_ome
from wsi_dicom.sources.xml_tree import MAX_XML_BYTES
from wsi_dicom.tiff.structure import Tag, TiffDirectory, TiffFile, is_tiff

_MAX_FILES = 256


class OmeFiles:
    """An OME-TIFF, or a companion file, and the files beside it that it names. Opens them when they are asked for."""

    def __init__(self, path: Path, opened: ExitStack) -> None:
        """`opened` closes the files. Raises UnsupportedFormat, CorruptInput."""
        self.name, self._path, self._opened = path.name, path, opened
        self._files: dict[Path, tuple[TiffFile, list[TiffDirectory]]] = {}
        self._companions: list[Path] = []
        self.document = self._read_document()
        names = {plane.file_name for image in self.document.images for plane in image.planes.values()}
        self._only_name = names.pop() if len(names) == 1 else None

    @property
    def paths(self) -> tuple[Path, ...]:
        """All files that have been read, the one that was named first."""
        return tuple(dict.fromkeys([self._path, *self._companions, *self._files]))

    @property
    def tiff_files(self) -> list[TiffFile]:
        """All that have been opened for their planes."""
        return [file for file, _ in self._files.values()]

    def directory(self, plane: StoredPlane) -> TiffDirectory:
        """Where a plane lies. Raises UnsupportedFormat when its file is not there, CorruptInput."""
        file, directories = self._open(self._find(plane))
        if plane.ifd >= len(directories):
            raise CorruptInput(
                f"{self._path.name}: its OME-XML puts a plane into directory {plane.ifd} of {file.name}, "
                f"which has {len(directories)}"
            )
        return directories[plane.ifd]

    def unmentioned(self, planes: Mapping[Plane, StoredPlane]) -> dict[Plane, list[TiffDirectory]]:
        """Directories in which the OME-XML puts nothing, dealt out to the planes of their file: level after level."""
        mentioned = {
            (self._beside(plane), plane.ifd) for image in self.document.images for plane in image.planes.values()
        }
        found: dict[Plane, list[TiffDirectory]] = {}
        for path, (_, directories) in self._files.items():
            own = sorted((stored.ifd, plane) for plane, stored in planes.items() if self._beside(stored) == path)
            spare = [found for number, found in enumerate(directories) if (path, number) not in mentioned]
            for number, (_, plane) in enumerate(own):
                found[plane] = spare[number :: len(own)]
        return found

    def opened(self, plane: StoredPlane) -> TiffDirectory | None:
        """As `directory`; None when that file has not been opened yet, or has no such directory."""
        path = self._beside(plane)
        directories = self._files[path][1] if path in self._files else []
        return directories[plane.ifd] if plane.ifd < len(directories) else None

    def _read_document(self) -> OmeDocument:
        document = parse_ome(self._description(self._path), self._path.name)
        self._uuid = document.uuid
        if document.metadata_file is None:
            return document
        companion = self._named(document.metadata_file)
        if companion is None or not companion.is_file():
            raise UnsupportedFormat(
                f"{self._path.name}: its OME-XML is in {document.metadata_file}, which must lie beside it"
            )
        self._companions.append(companion)
        document = parse_ome(self._description(companion), companion.name)
        if document.metadata_file is not None:
            raise CorruptInput(f"{companion.name}: should have the OME-XML of {self._path.name}, but has none either")
        return document

    def _description(self, path: Path) -> str:
        """OME-XML of a TIFF file, or of a companion file, which is nothing but that."""
        try:
            with path.open("rb") as file:
                head = file.read(16)
                if not is_tiff(head):
                    return (head + file.read(MAX_XML_BYTES)).decode("utf-8-sig", "replace")
        except OSError as error:
            raise UnsupportedFormat(f"{path}: cannot be read: {error.strerror}") from error
        with TiffFile(path) as tiff:
            description = next(tiff.directories()).text(Tag.IMAGE_DESCRIPTION)
        if not is_ome(description):
            raise UnsupportedFormat(f"{path.name}: its first image has no OME-XML as description")
        return description

    def _find(self, plane: StoredPlane) -> Path:
        path = self._beside(plane)
        if path is None or not path.is_file():
            raise UnsupportedFormat(f"{self._path.name}: has planes in {plane.file_name}, which must lie beside it")
        return path

    def _beside(self, plane: StoredPlane) -> Path | None:
        """The file of a plane. A file may have been renamed: the UUID tells, or that there is no other."""
        if plane.file_name is None or (plane.uuid and plane.uuid == self._uuid):
            return self._path
        path = self._named(plane.file_name)
        if plane.file_name == self._only_name and (path is None or not path.is_file()):
            return self._path
        return path

    def _named(self, name: str) -> Path | None:
        """A file in the folder of the slide; None when the name, or a symbolic link, leads out of it."""
        if not name or name in (".", "..") or any(mark in name for mark in "/\\\0"):
            return None
        path = self._path.with_name(name)
        folders = self._path.parent.resolve(), self._path.resolve().parent
        try:
            return path if path.resolve(strict=True).parent in folders else None
        except (OSError, RuntimeError):  # not there; a loop of links; a name that is too long
            return None

    def _open(self, path: Path) -> tuple[TiffFile, list[TiffDirectory]]:
        known = self._files.get(path)
        if known is None:
            if len(self._files) >= _MAX_FILES:
                raise UnsupportedFormat(f"{self._path.name}: lies in more than {_MAX_FILES} files")
            file = self._opened.enter_context(TiffFile(path))
            known = self._files[path] = file, list(file.directories())
        return known
