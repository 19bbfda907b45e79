"""Places of elements and attributes: line and column, 1-based and in characters, and the path.

lxml only knows the line of an element. When places are needed, expat parses the text a second time and reports the
offset of each start tag in document order, which is also lxml's order; attributes are then searched for in their tag.
"""

import re
from bisect import bisect_right
from collections.abc import Iterable
from xml.parsers import expat

from lxml import etree

from cachetune.domain.xml.document import decode
from cachetune.findings import Source

TEXT = "#text"
"""Passed as the attribute, it means the element's text."""

_ATTRIBUTE = re.compile(rb"""\s*([^\s=/>"']+)\s*=\s*("[^"]*"|'[^']*')""")
_TAG_NAME = re.compile(rb"<[^\s/>]+")


class Positions:
    """The places of the ``wanted`` elements in one document. ``data`` is what ``root`` was parsed from.

    ``document`` is the document's name for the places, or "" where it is known anyway.
    """

    def __init__(self, data: bytes, root: etree._Element, wanted: Iterable[etree._Element], document: str = "") -> None:
        self._document = document
        self._wanted = set(wanted)
        for element in tuple(self._wanted):
            self._wanted.update(element.iterancestors())
        self._steps: dict[etree._Element, str] = {root: etree.QName(root).localname}
        text = decode(data, root.getroottree().docinfo.encoding)
        self._data = b"" if text is None else text.encode("utf-8", "surrogatepass")
        starts, self._texts = _scan(self._data)
        self._starts: dict[etree._Element, tuple[int, int]] = {}
        for ordinal, (element, start) in enumerate(zip(root.iter(etree.Element), starts, strict=False)):
            if element in self._wanted:
                self._starts[element] = (ordinal, start)
        self._lines = [0, *(match.end() for match in re.finditer(b"\n", self._data))]
        self._last = (0, 0, 1)

    def at(self, element: etree._Element, attribute: str | None = None) -> Source:
        """Return the place of a wanted element, of its ``attribute`` (a name as lxml writes it), or of its text (TEXT).

        A missing attribute has the place of its element. If Python does not support the document's encoding, the line
        is lxml's and the column is 0.
        """
        path = self._path(element)
        if attribute is not None and attribute in element.attrib:
            path += "/@" + etree.QName(attribute).localname
        if element not in self._starts:
            return Source(_line_of(element), 0, path, self._document)
        ordinal, start = self._starts[element]
        if attribute == TEXT:
            start = self._texts.get(ordinal, start)
        elif attribute is not None:
            start = self._attribute(start, element, attribute)
        line, column = self._line_and_column(start)
        return Source(line, column, path, self._document)

    def _attribute(self, start: int, element: etree._Element, attribute: str) -> int:
        name = etree.QName(attribute)
        tag = _TAG_NAME.match(self._data, start)
        at = tag.end() if tag else start
        while found := _ATTRIBUTE.match(self._data, at):
            prefix, _, local = found[1].decode().rpartition(":")
            namespace = "http://www.w3.org/XML/1998/namespace" if prefix == "xml" else element.nsmap.get(prefix)
            if local == name.localname and prefix != "xmlns" and (namespace if prefix else None) == name.namespace:
                return found.start(1)
            at = found.end()
        return start

    def _line_and_column(self, offset: int) -> tuple[int, int]:
        line = bisect_right(self._lines, offset)
        last_line, last_offset, last_column = self._last
        if line != last_line:
            last_offset, last_column = self._lines[line - 1], 1
        # Count from the last place, forward or back: not a very long line from its start each time.
        if offset < last_offset:
            column = last_column - len(self._data[offset:last_offset].decode("utf-8", "replace"))
        else:
            column = last_column + len(self._data[last_offset:offset].decode("utf-8", "replace"))
        self._last = (line, offset, column)
        return line, column

    def _path(self, element: etree._Element) -> str:
        steps = []
        at: etree._Element | None = element
        while at is not None:
            if at not in self._steps:
                self._number(at.getparent())
            steps.append(self._steps[at])
            at = at.getparent()
        return "/" + "/".join(reversed(steps))

    def _number(self, parent: "etree._Element | None") -> None:
        """Name the wanted children of ``parent``, each with its number; the first <cputune> has none."""
        counts: dict[str, int] = {}
        for child in () if parent is None else parent:
            name = etree.QName(child).localname
            counts[name] = counts.get(name, 0) + 1
            if child in self._wanted:
                self._steps[child] = name if name == "cputune" and counts[name] == 1 else f"{name}[{counts[name]}]"


def _line_of(element: etree._Element) -> int:
    line = element.sourceline
    return line if isinstance(line, int) else 0


def _scan(data: bytes) -> tuple[list[int], dict[int, int]]:
    """Return the offset of each start tag in order, and of each tag's first text by the tag's number."""
    parser = expat.ParserCreate("utf-8")
    starts: list[int] = []
    texts: dict[int, int] = {}
    open_elements = [-1]

    def start(_name: str, _attributes: object) -> None:
        open_elements.append(len(starts))
        starts.append(parser.CurrentByteIndex)

    def end(_name: str) -> None:
        open_elements.pop()

    def text(content: str) -> None:
        if open_elements[-1] not in texts and (rest := content.lstrip(" \t\r\n")):
            texts[open_elements[-1]] = parser.CurrentByteIndex + len(content[: len(content) - len(rest)].encode())

    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = start, end, text
    try:
        parser.Parse(data, True)
    except expat.ExpatError:  # libxml2 is more lenient, for example about the XML version
        starts, texts = [], {}
    finally:  # break the reference cycle between parser and handlers
        parser.StartElementHandler = parser.EndElementHandler = parser.CharacterDataHandler = None
    return starts, texts
