"""The schemas and the two engines that apply them: RELAX NG in lxml (the default) and XSD in xmlschema.

Both return "" for a valid document and their own message otherwise, which diagnosis.py replaces by a better one.
"""

# importing pathlib would take a tenth of the command's start
# ruff: noqa: PTH100, PTH110, PTH118, PTH120

import os
from collections.abc import Iterator
from functools import cache
from typing import Any

from lxml import etree

from cachetune.errors import UnreadableFileError

SCHEMAS = ("domain.rng", "domain.xsd", "cachetune.rng", "cachetune.xsd", "bundle.rnc")
KINDS = ("cachetune", "memorytune", "energytune")
LIBVIRT_SCHEMA = "/usr/share/libvirt/schemas/domain.rng"

_XSI = "{http://www.w3.org/2001/XMLSchema-instance}"
ROOTS = ("domain", "cputune")
_OTHER_ROOT = "the root element is neither domain nor cputune"
_LONGEST_REASON = 200
_VAGUE = ("Extra element", "Invalid sequence", "Element ")


def schema_path(name: str) -> str:
    """Return the path of one of SCHEMAS: beside the package in a checkout, inside it when installed."""
    package = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    installed = os.path.join(package, "schemas", name)
    return installed if os.path.exists(installed) else os.path.join(os.path.dirname(package), "schemas", name)


def cputunes(root: etree._Element) -> Iterator[etree._Element]:
    """Return the <cputune> elements of a domain, or the root of a tuning file."""
    return iter([root]) if root.tag == "cputune" else root.iterchildren("cputune")


def tunes(root: etree._Element) -> Iterator[etree._Element]:
    """Yield cachetune, memorytune and energytune elements in document order."""
    for cputune in cputunes(root):
        for element in cputune:
            if element.tag in KINDS:
                yield element


def relaxng_says(root: etree._Element) -> str:
    """Return "" if domain.rng accepts the document, otherwise libxml2's message.

    libxml2 only gets the elements of cachetune.rng, one by one, because it would need minutes for a document with
    thousands of attributes or children. A test checks that the result is that of domain.rng on the whole document.
    """
    if root.tag not in ROOTS:
        return _OTHER_ROOT
    gate = _gate()
    for element in tunes(root):
        if not gate.validate(element):
            return str(gate.error_log[0].message) if len(gate.error_log) else "not valid"
    return ""


def xsd_says(root: etree._Element) -> str:
    """Return "" if domain.xsd accepts the document, otherwise xmlschema's message."""
    if root.tag not in ROOTS:  # XSD cannot restrict the root element
        return _OTHER_ROOT
    error = next(_xsd().iter_errors(_for_xmlschema(root)), None)
    return "" if error is None else str(error.reason or error.message)[:_LONGEST_REASON]


def libvirt_says(root: etree._Element, path: str) -> tuple[etree._Element, str] | None:
    """Check with an installed libvirt's domain.rng: None, or the element at fault and libxml2's best message."""
    schema = libvirt_schema(path)
    if schema.validate(root):
        return None
    messages = [str(entry.message) for entry in schema.error_log] or ["not valid"]
    said = next((each for each in messages if not each.startswith(_VAGUE)), messages[0])
    named = [
        element for word in said.split() if word.isidentifier() and (element := root.find(f".//{word}")) is not None
    ]
    return (named[0] if named else root), said


@cache
def libvirt_schema(path: str) -> etree.RelaxNG:
    """Return the schema of an installed libvirt. Raises UnreadableFileError."""
    try:
        return etree.RelaxNG(etree.parse(path))
    except (OSError, etree.XMLSyntaxError, etree.RelaxNGParseError) as error:
        raise UnreadableFileError(
            path,
            f"not libvirt's schema: {error}",
            hint="install libvirt (Debian: package libvirt0), or pass another path with --libvirt-schema=PATH",
        ) from None


@cache
def _gate() -> etree.RelaxNG:
    return etree.RelaxNG(etree.parse(schema_path("cachetune.rng")))


@cache
def _xsd() -> Any:
    from xmlschema import XMLSchema11

    return XMLSchema11(schema_path("domain.xsd"))


def _for_xmlschema(root: etree._Element) -> etree._Element:
    """Return the document, or a copy changed so that xmlschema checks it as written.

    XSD engines obey attributes such as xsi:type; for us they are unknown attributes. xmlschema treats everything that
    Python's str.strip removes as blank, but XML has only four blank characters.
    """
    odd_texts = any(_only_seems_blank(text) for tune in tunes(root) for text in tune.itertext())
    if not odd_texts and not any(str(name).startswith(_XSI) for each in root.iter() for name in each.attrib):
        return root
    plain = etree.fromstring(etree.tostring(root))
    for element in plain.iter():
        for name in [str(name) for name in element.attrib if str(name).startswith(_XSI)]:
            element.set("{urn:cachetune:plain}" + name.removeprefix(_XSI), str(element.attrib.pop(name)))
        if _only_seems_blank(element.text):
            element.text = "not blank"
        if _only_seems_blank(element.tail):
            element.tail = "not blank"
    return plain


def _only_seems_blank(text: object) -> bool:
    return isinstance(text, str) and not text.strip() and bool(text.strip(" \t\r\n"))
