"""Read and parse untrusted documents: nothing here expands entities, opens connections, blocks or recurses.

``read_file`` returns bytes of bounded length or raises UnreadableFileError. ``parse`` returns an lxml tree without
comments and processing instructions, or raises RefusedError, which becomes the document's only finding. A document type
declaration is refused before the parser sees it, so no entity is ever expanded. libxml2's own limits stay enabled (256
levels, 10 MB in one text).
"""

import os
import stat
import sys
from typing import TYPE_CHECKING

from lxml import etree

from cachetune.errors import UnreadableFileError

if TYPE_CHECKING:
    from cachetune.findings import Finding

MAX_BYTES = 16 << 20
MAX_MARKUP = 500_000
"""The most elements and attributes in one document; libxml2 needs a few hundred bytes of memory for each."""

MAX_CHILDREN = 10_000
"""The most elements in one child of <cputune>; libxml2 takes quadratic time to check them."""

_TOO_LARGE = f"it is larger than {MAX_BYTES >> 20} MiB"
_TOO_LARGE_HINT = "check that this is the right file; domain XML is far smaller"
_CROWD = f"more than {MAX_CHILDREN:,} children in one element"
_READ_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
_BYTE_ORDER_MARKS = (
    (b"\xff\xfe\0\0", "utf-32"),
    (b"\0\0\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
_PARSER = etree.XMLParser(
    resolve_entities=False,
    no_network=True,
    load_dtd=False,
    huge_tree=False,
    collect_ids=False,
    remove_comments=True,
    remove_pis=True,
    remove_blank_text=True,  # saves a third of the parsing time
)


class RefusedError(Exception):
    """The document is not parsed: it breaks ``rule`` at ``line`` and ``column``. ``values`` fill the rule's message."""

    def __init__(self, rule: str, line: int, column: int, **values: object) -> None:
        super().__init__(rule)
        self.rule, self.line, self.column, self.values = rule, line, column, values

    def finding(self, document: str = "") -> "Finding":
        """Return the only finding of the document with this name."""
        from cachetune.domain.rules import RULES
        from cachetune.findings import Source

        return RULES[self.rule].at(
            Source(max(self.line, 1), max(self.column, 1), "/", document), hint=None, **self.values
        )


def read_file(path: str) -> bytes:
    """Read a regular file, or standard input for "-". Never waits for a FIFO.

    Raises UnreadableFileError.
    """
    if path == "-":
        return _read_stdin()
    try:
        descriptor = os.open(path, _READ_FLAGS)
    except (OSError, ValueError) as error:
        raise UnreadableFileError(path, _reason(error)) from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise UnreadableFileError(path, _kind_of(status.st_mode), hint="pass '-' to read from a pipe")
        if status.st_size > MAX_BYTES:
            raise UnreadableFileError(path, _TOO_LARGE, hint=_TOO_LARGE_HINT)
        data = os.read(descriptor, status.st_size + 1)
        while more := os.read(descriptor, 1 << 16):  # the file grew, or it is in /proc and has size 0
            data += more
            if len(data) > MAX_BYTES:
                raise UnreadableFileError(path, _TOO_LARGE, hint=_TOO_LARGE_HINT)
    except OSError as error:
        raise UnreadableFileError(path, _reason(error)) from None
    finally:
        os.close(descriptor)
    return data


def unreadable(reason: str, hint: str) -> "Finding":
    """Return the only finding for a document that cannot be read."""
    from cachetune.domain.rules import RULES
    from cachetune.findings import Source

    return RULES["CT013"].at(Source(), hint=hint or None, reason=reason)


def parse(data: bytes) -> etree._Element:
    """Return the root element. Raises RefusedError."""
    if b"DOCTYPE" in data or (b"\0" in data[:4] and b"D\0O\0C\0T\0Y\0P\0E" in data.replace(b"\0\0", b"")):
        place = _doctype_at(data)
        if place is not None:
            raise RefusedError("CT008", *place)
    if len(data) > MAX_MARKUP and data.count(b"<") + data.count(b"=") > MAX_MARKUP:
        raise RefusedError("CT010", 1, 1, what=f"more than {MAX_MARKUP:,} elements and attributes")
    try:
        root = etree.fromstring(data, _PARSER)
    except etree.XMLSyntaxError as error:
        raise _refusal(data, error) from None
    if root.getroottree().docinfo.internalDTD is not None:  # in an encoding that _doctype_at cannot read
        raise RefusedError("CT008", 1, 1)
    if len(data) > MAX_CHILDREN:
        _refuse_crowds(root)
    return root


def decode(data: bytes, encoding: str | None) -> str | None:
    """Decode a document in the encoding that libxml2 detected. Returns None if Python does not support it."""
    name = (encoding or "UTF-8").upper()
    if name in ("UTF-8", "ASCII", "US-ASCII"):
        name = "utf-8-sig"
    for mark, wide in _BYTE_ORDER_MARKS:
        if data.startswith(mark):
            name = wide
            break
    else:
        if data.startswith(b"<\0"):
            name = "utf-16-le"
        elif data.startswith(b"\0<"):
            name = "utf-16-be"
    try:
        return data.decode(name)
    except (LookupError, UnicodeDecodeError):
        return None


def _read_stdin() -> bytes:
    data = sys.stdin.buffer.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise UnreadableFileError("standard input", _TOO_LARGE, hint=_TOO_LARGE_HINT)
    return data


def _reason(error: OSError | ValueError) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error)


def _kind_of(mode: int) -> str:
    kinds = ((stat.S_ISDIR, "it is a directory"), (stat.S_ISFIFO, "it is a FIFO"), (stat.S_ISSOCK, "it is a socket"))
    return next((text for test, text in kinds if test(mode)), "it is a device")


def _doctype_at(data: bytes) -> tuple[int, int] | None:
    """Return line and column of a document type declaration; it can only be before the first element."""
    text = decode(data, None) if data[:1] != b"<" or data[1:2] == b"\0" else data.decode("latin-1")
    if text is None:
        return None
    at = 0
    while (at := text.find("<", at)) >= 0:
        if text.startswith("<!DOCTYPE", at):
            return text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at)
        if text.startswith("<?", at):
            at = text.find("?>", at)
        elif text.startswith("<!--", at):
            at = text.find("-->", at)
        else:
            return None
        if at < 0:
            return None
    return None


def _refuse_crowds(root: etree._Element) -> None:
    for element in root if root.tag == "cputune" else root.iterfind("cputune/*"):
        if len(element) > MAX_CHILDREN:
            line = element.sourceline
            raise RefusedError("CT010", line if isinstance(line, int) else 1, 1, what=_CROWD)


def _refusal(data: bytes, error: etree.XMLSyntaxError) -> RefusedError:
    line, column = error.position
    said = (error.msg or "not XML").replace("\n", "").split(", line ")[0].rstrip(". ")
    if not data.strip():
        return RefusedError("CT001", 1, 1, reason="the document is empty")
    if "XML_PARSE_HUGE" in said:
        what = (
            "elements nested more than 256 levels deep"
            if "depth" in said
            else "more than 10 MB in one text or attribute"
        )
        return RefusedError("CT010", line, column, what=what)
    return RefusedError("CT001", line, column, reason=said[:1].lower() + said[1:])
