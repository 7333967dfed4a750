"""XML of strangers: the descriptions that scanners and microscopes put into their files.

Parsed by expat with everything refused by which XML grows or reaches outside: document type declarations, and with them
entities. Namespaces are dropped: they tell versions apart that are read alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from wsi_dicom.errors import CorruptInput, UnsupportedFormat

MAX_XML_BYTES: Final = 32 << 20
"""Of one document. The most verbose are OME-XML, with about 300 bytes for each plane."""
_MAX_ELEMENTS: Final = 500_000


class _Tree:
    """What expat calls, element by element."""

    def __init__(self, where: str) -> None:
        self._where, self._count, self.builder = where, 0, TreeBuilder()

    def start(self, name: str, attributes: Mapping[str, str]) -> None:
        self._count += 1
        if self._count > _MAX_ELEMENTS:
            raise UnsupportedFormat(f"{self._where}: XML of more than {_MAX_ELEMENTS} elements")
        self.builder.start(_local(name), {_local(key): value for key, value in attributes.items()})

    def end(self, name: str) -> None:
        self.builder.end(_local(name))

    def refuse_declarations(self, *_: object) -> None:
        raise UnsupportedFormat(f"{self._where}: XML with a document type declaration is not read")


def parse_xml(text: str, where: str) -> Element:
    """The root element. `where` names the document in messages. Raises CorruptInput, UnsupportedFormat.

    The whole is refused above 32 MiB, or 500,000 elements.
    """
    if len(text) > MAX_XML_BYTES:
        raise UnsupportedFormat(f"{where}: XML of {len(text)} bytes; the limit is {MAX_XML_BYTES}")
    tree = _Tree(where)
    parser = expat.ParserCreate("utf-8", namespace_separator="}")  # whatever the text says that its file was in
    parser.StartElementHandler, parser.EndElementHandler = tree.start, tree.end
    parser.CharacterDataHandler = tree.builder.data
    parser.StartDoctypeDeclHandler = tree.refuse_declarations
    parser.buffer_text = True
    try:
        parser.Parse(text, True)
    except (expat.ExpatError, UnicodeEncodeError) as error:
        raise CorruptInput(f"{where}: XML that does not parse: {error}") from error
    return tree.builder.close()


def _local(name: str) -> str:
    return name.rpartition("}")[2]
