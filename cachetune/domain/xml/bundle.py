"""The schemas for editors: one self-contained file for each schema language, with documentation for hovers.

RELAX NG and XML Schema are generated from the files in schemas/ on each call: there is no second copy. The compact
syntax of RELAX NG, which Emacs needs, is bundle.rnc: trang's translation of the first, which a test makes again. All
accept what domain.rng accepts, and each of the three elements alone. What is said about an element or attribute is in
the RELAX NG schemas; XML Schema gets it by the names of definitions, which are the same in both languages.

They are read by people: whole numbers are of the languages' own types, because an editor shows the type or pattern that
a value violates, and cachetune.xsd's patterns fill a screen. So blanks around numbers are left to 'cachetune validate'.
"""

import copy
from collections.abc import Iterator
from pathlib import Path

from lxml import etree

from cachetune.domain.xml.schema import KINDS, ROOTS, schema_path

_RNG = "{http://relaxng.org/ns/structure/1.0}"
_XS = "{http://www.w3.org/2001/XMLSchema}"
_VERSIONING = "{http://www.w3.org/2007/XMLSchema-versioning}"
_DOCUMENTATION = "{http://relaxng.org/ns/compatibility/annotations/1.0}documentation"
_HEADER = """
  Domain XML of libvirt and tuning files of cachetune, for editors. Printed by 'cachetune schema'.

  Checked are {} and {} in <cputune>; anything else in a
  domain is accepted. 'cachetune validate' also checks what the values mean.
"""
_IN_METADATA = "Data of other programs: nothing in it is checked."

Documentation = dict[tuple[str, str | None], str]
"""What is written about the element, or with a name the attribute, that a definition of the RELAX NG schemas has."""


def relaxng_bundle() -> bytes:
    """The RELAX NG schema: domain.rng with cachetune.rng in the place of its <include>."""
    bundle, included = _parsed("domain.rng"), _parsed("cachetune.rng")
    bundle.attrib.update(included.attrib)
    start = etree.Element(f"{_RNG}start")
    bundle[0] = start
    choice = etree.SubElement(start, f"{_RNG}choice")
    for name in (*ROOTS, *KINDS):
        etree.SubElement(choice, f"{_RNG}ref", name=name)
    bundle.extend(included.findall(f"{_RNG}define"))
    for text in bundle.iter(_DOCUMENTATION):
        text.text = _one_line(text)
    return _document(bundle)


def xsd_bundle() -> bytes:
    """The XML Schema, in version 1.0.

    There a wildcard must not allow an element that is declared beside it, as domain.xsd has it. But what a lax wildcard
    allows is checked if it is declared at the top, so declaring it there is enough. This is true for all descendants,
    so the three elements are checked wherever they are; not in <metadata>, where libvirt's users have what they like.
    """
    root = _parsed("cachetune.xsd")
    for declaration in _parsed("domain.xsd").iterchildren(f"{_XS}element"):
        lax = copy.deepcopy(declaration)
        for choice in lax.iter(f"{_XS}choice"):
            for element in choice.findall(f"{_XS}element"):
                choice.remove(element)
        for wildcard in lax.iter(f"{_XS}any"):
            wildcard.set("processContents", "lax")
        root.append(lax)
    _use_number_types(root)
    _append_metadata(root)
    documentation = documentation_of_schemas()
    for owner, node in _documented(root):
        name = None if node.tag == f"{_XS}element" else node.get("name")
        node.insert(0, _annotation(documentation[owner, name]))
    return _document(root)


def compact_bundle() -> bytes:
    """The RELAX NG schema in compact syntax."""
    return Path(schema_path("bundle.rnc")).read_bytes()


def documentation_of_schemas() -> Documentation:
    """What the RELAX NG schemas say about their elements and attributes."""
    found: Documentation = {}
    for schema in map(_parsed, ("domain.rng", "cachetune.rng")):
        for text in schema.iter(_DOCUMENTATION):
            pattern = next(text.iterancestors(f"{_RNG}element", f"{_RNG}attribute"))
            define = next(text.iterancestors(f"{_RNG}define")).get("name", "")
            found[define, pattern.get("name") if pattern.tag == f"{_RNG}attribute" else None] = _one_line(text)
    return found


def _documented(root: etree._Element) -> Iterator[tuple[str, etree._Element]]:
    """Yield each element and attribute of the XSD with the name of its definition in the RELAX NG schemas."""
    for element in root.iter(f"{_XS}element"):
        if element.get("name") != "metadata":
            yield str(element.get("type") or element.get("name")), element
    for attribute in root.iter(f"{_XS}attribute"):
        definition = next(attribute.iterancestors(f"{_XS}complexType", f"{_XS}attributeGroup"))
        yield definition.get("name", ""), attribute


def _use_number_types(root: etree._Element) -> None:
    """Whole numbers as they are in cachetune.rng: an integer type, and a pattern against signs."""
    for data in _parsed("cachetune.rng").iter(f"{_RNG}data"):
        kind, param = data.get("type", ""), data.find(f"{_RNG}param")
        if kind != "string" and param is not None:
            definition = next(data.iterancestors(f"{_RNG}define")).get("name", "")
            (restriction,) = root.iterfind(f"{_XS}simpleType[@name='{definition}']/{_XS}restriction")
            restriction.set("base", f"xs:{kind}")
            restriction[0].set("value", param.text or "")


def _append_metadata(root: etree._Element) -> None:
    """Declare <metadata>, which ends the check of what a lax wildcard allows."""
    metadata = etree.SubElement(root, f"{_XS}element", name="metadata")
    metadata.append(_annotation(_IN_METADATA))
    anything = etree.SubElement(metadata, f"{_XS}complexType", mixed="true")
    sequence = etree.SubElement(anything, f"{_XS}sequence")
    every = {"namespace": "##any", "processContents": "skip"}
    etree.SubElement(sequence, f"{_XS}any", {"minOccurs": "0", "maxOccurs": "unbounded", **every})
    etree.SubElement(anything, f"{_XS}anyAttribute", every)


def _annotation(text: str) -> etree._Element:
    annotation = etree.Element(f"{_XS}annotation")
    etree.SubElement(annotation, f"{_XS}documentation").text = text
    return annotation


def _parsed(name: str) -> etree._Element:
    return etree.parse(schema_path(name), etree.XMLParser(remove_blank_text=True, remove_comments=True)).getroot()


def _one_line(text: etree._Element) -> str:
    return " ".join((text.text or "").split())


def _document(root: etree._Element) -> bytes:
    etree.indent(root, "  ")
    names = [f"<{name}>" for name in KINDS]
    header = _HEADER.format(", ".join(names[:-1]), names[-1])
    text = etree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<!--{header}-->\n{text}\n'.encode()
