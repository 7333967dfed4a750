"""Everything that can go wrong, drawn once.

WsiError
├── UnsupportedFormat   the input is not something we read
│   └── UnsupportedStack    it has more pictures of one place than any reader here would keep
├── CorruptInput        the input claims to be a slide, and breaks its own format
├── CodecError          one tile does not decode or encode
├── OutOfBounds         a level, tile or pixel outside the slide
├── NotFound            no such file, series or instance
├── StoreError          a store cannot be read or written
└── InvalidRequest      a value given by a user or a client makes no sense

A message names the file or UID, the tile and the limit, and says what to do. The command line prints it as one line;
the server maps the class to a status. Messages never hold patient data.
"""

from typing import Final

_LONGEST: Final = 1000


class WsiError(Exception):
    """Base of all errors that are the fault of the input, the request or the environment."""

    def __str__(self) -> str:
        return on_one_line(super().__str__())


class UnsupportedFormat(WsiError):
    """The input is not something we read."""


class UnsupportedStack(UnsupportedFormat):
    """Focal planes, channels or times in a form that is not read here. Others would read it, and lose all but one."""


class CorruptInput(WsiError):
    """The input breaks its own format."""


class CodecError(WsiError):
    """A tile that cannot be decoded or encoded."""


class OutOfBounds(WsiError):
    """A level, tile or pixel outside the slide."""


class NotFound(WsiError):
    """No such file, series or instance."""


class StoreError(WsiError):
    """A store, or an output folder, cannot be read or written."""


class InvalidRequest(WsiError):
    """A value from a user or a client that makes no sense."""


def on_one_line(message: str) -> str:
    """What quotes other people's files, which may say anything, as a line for people, terminals and logs."""
    shown = "".join(_shown(character) for character in message)
    return shown if len(shown) <= _LONGEST else f"{shown[: _LONGEST // 2]}...{shown[-_LONGEST // 2 :]}"


def _shown(character: str) -> str:
    return character if character.isprintable() else " " if character.isspace() else "\N{REPLACEMENT CHARACTER}"


def system_error_line(error: OSError) -> str:
    """What no layer below could name better: the file, if the system told one, and the system's own words."""
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{error.strerror or error}"
