"""Bodies of uploads, written to a folder piece by piece: nothing is held in memory but a piece."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO, Final, Protocol

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.exceptions import HTTPException

from wsi_dicom.errors import InvalidRequest, StoreError
from wsi_dicom_server.disk_room import disk_is_full, disk_room
from wsi_dicom_server.upload_names import safe_place

_MOST_FILES: Final = 20_000
_FORM: Final = b"multipart/form-data"


class Body(Protocol):
    """Takes the pieces of one body in turn. Blocks: it writes to the disk."""

    def feed(self, piece: bytes) -> None:
        """Raises InvalidRequest, HTTPException, StoreError."""
        ...

    def finish(self) -> None:
        """After the last piece. Raises InvalidRequest when the body is not complete, HTTPException, StoreError."""
        ...


class UploadFolder:
    """The files of one upload below `root`, one open at a time; they leave `keep_free` bytes of the disk to others."""

    def __init__(self, root: Path, keep_free: int) -> None:
        self.root = root
        self._keep_free = keep_free
        self.names: list[str] = []
        self._open = ExitStack()
        self._file: BinaryIO | None = None

    @property
    def title(self) -> str:
        """What people would call all of it: the file, the one folder, or the file that lies highest."""
        tops = {name.split("/")[0] for name in self.names}
        if len(tops) == 1:
            return tops.pop()
        return f"{min(self.names, key=lambda name: name.count('/'))} and {len(self.names) - 1} more"

    def require_room(self, size: int) -> None:
        """For so many bytes more. Raises HTTPException, StoreError."""
        try:
            if size > disk_room(self.root.parent, self._keep_free):
                raise _no_room()
        except OSError as error:
            raise self._failed(error) from error

    def begin(self, name: str) -> None:
        """The next file; a hidden one is read past. Raises InvalidRequest, HTTPException, StoreError."""
        self.close()
        place = safe_place(name)
        if place is None:
            return
        if len(self.names) == _MOST_FILES:
            raise HTTPException(413, f"an upload may have {_MOST_FILES} files; put them into a zip archive")
        try:
            target = self.root / place
            target.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._open.enter_context(target.open("xb"))
        except (FileExistsError, NotADirectoryError):
            raise InvalidRequest(f"{name[:80]!r} is the name of two files of this upload") from None
        except OSError as error:
            raise self._failed(error) from error
        self.names.append(name)

    def write(self, data: bytes) -> None:
        """Raises HTTPException, StoreError."""
        if self._file is not None:
            self.require_room(len(data))
            try:
                self._file.write(data)
            except OSError as error:
                raise self._failed(error) from error

    def close(self) -> None:
        """Ends the file that is open. Raises HTTPException, StoreError."""
        try:
            self._open.close()
        except OSError as error:
            raise self._failed(error) from error
        finally:
            self._file = None

    def _failed(self, error: OSError) -> HTTPException | StoreError:
        return _no_room() if disk_is_full(error) else StoreError(f"{self.root} cannot be written: {error.strerror}")


def _no_room() -> HTTPException:
    return HTTPException(507, "the server's disk has no room for this upload")


class _OneFile:
    """A body that is the file."""

    def __init__(self, folder: UploadFolder, name: str) -> None:
        self._folder = folder
        folder.begin(name)
        if not folder.names:
            raise InvalidRequest(f"{name[:80]!r} is the name of a hidden file")

    def feed(self, piece: bytes) -> None:
        self._folder.write(piece)

    def finish(self) -> None:
        self._folder.close()


class _Form:
    """multipart/form-data (RFC 7578): a file in each part."""

    def __init__(self, folder: UploadFolder, boundary: bytes) -> None:
        self._folder = folder
        self._header = (bytearray(), bytearray())
        self._disposition, self._ended = "", False
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin_part,
                "on_header_field": lambda data, start, end: self._header[0].extend(data[start:end]),
                "on_header_value": lambda data, start, end: self._header[1].extend(data[start:end]),
                "on_header_end": self._end_header,
                "on_headers_finished": self._begin_file,
                "on_part_data": lambda data, start, end: self._folder.write(data[start:end]),
                "on_part_end": self._folder.close,
                "on_end": self._end,
            },
        )

    def feed(self, piece: bytes) -> None:
        try:
            self._parser.write(piece)
        except FormParserError:
            raise InvalidRequest("the body is not the form that its Content-Type tells of") from None

    def finish(self) -> None:
        if not self._ended:
            raise InvalidRequest("the form breaks off: its last boundary is missing")
        if not self._folder.names:
            raise InvalidRequest("the form holds no file")

    def _begin_part(self) -> None:
        self._disposition = ""

    def _end_header(self) -> None:
        name, value = self._header
        if name.lower() == b"content-disposition":
            self._disposition = value.decode("latin-1")
        self._header = (bytearray(), bytearray())

    def _begin_file(self) -> None:
        told = parse_options_header(self._disposition)[1].get(b"filename")
        if told is None:
            raise InvalidRequest("a part of the form is no file; options go into the address")
        try:
            name = told.decode()  # browsers write it as it is, in the character set of their page
        except UnicodeDecodeError:
            raise InvalidRequest("the name of a file is not in UTF-8") from None
        self._folder.begin(name)

    def _end(self) -> None:
        self._ended = True


def body_of(content_type: str, name: str | None, folder: UploadFolder) -> Body:
    """What reads a body of this Content-Type; `name` is that of a body that is a file. Raises as UploadFolder.begin."""
    kind, options = parse_options_header(content_type)
    if kind != _FORM:
        if not name:
            raise InvalidRequest("say what the file is called, as ?name=slide.svs, or send multipart/form-data")
        return _OneFile(folder, name)
    boundary = options.get(b"boundary")
    if not boundary:
        raise InvalidRequest("multipart/form-data without a boundary")
    try:
        return _Form(folder, boundary)
    except FormParserError:
        raise InvalidRequest("the boundary of the form is too long") from None
