"""Find out why a document violates the schema: the engines only say that something is wrong somewhere.

Runs when an engine has refused a document, and checks cachetune's elements against the grammar read from cachetune.rng.
"""

import difflib
from collections.abc import Iterable
from typing import TYPE_CHECKING

from lxml import etree

from cachetune.domain.dialects import extension, extensions_in
from cachetune.domain.problems import Problems, name_of, quoted
from cachetune.domain.xml.grammar import DataType, ElementType, grammar
from cachetune.domain.xml.positions import TEXT
from cachetune.domain.xml.schema import KINDS, ROOTS, tunes

if TYPE_CHECKING:
    from cachetune.findings import Finding

_TUNING_FILES_ONLY = {"threads"}  # in domain XML, a rule refuses it


def diagnose(root: etree._Element, problems: Problems, *, live: bool = False) -> set[etree._Element]:
    """Add the violations of the schema to ``problems``. Returns the elements at fault: their values cannot be used.

    In ``live`` XML, which a libvirt has printed for a running guest, the extensions of a vendor are only warnings.
    """
    if root.tag not in ROOTS:
        namespace = etree.QName(root).namespace
        where = f" in the namespace {quoted(namespace)}" if namespace else ""
        problems.add("CT002", root, element=name_of(root), where=where)
        return {root}
    faulty: set[etree._Element] = set()
    known = grammar()
    for element in tunes(root):
        _check(element, known[str(element.tag)], problems, faulty)
    for element, found in extensions_in(root):
        rule = "CT157" if live else "CT014"
        problems.add(rule, element, found.attribute, what=found.shown, dialect=found.dialect, meaning=found.meaning)
        if found.value is not None:
            faulty.add(element)
    return faulty


def warn_about_typos(unknown: Iterable[etree._Element], problems: Problems) -> None:
    """Warn about unknown children of <cputune> whose names are close to ours."""
    for element in unknown:
        name = name_of(element)
        meant = "" if str(element.tag).startswith("{") else close_to(name, KINDS, cutoff=0.8)
        if meant:
            problems.add("CT156", element, None, element=name, meant=meant)


def close_to(name: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """Return the known name closest to ``name``, or "" if none is close."""
    by_lower = {each.lower(): each for each in known}
    found = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=cutoff)
    return by_lower[found[0]] if found else ""


def is_of_another_kind(finding: "Finding") -> bool:
    """Whether it says that the document is another kind of XML, such as a network, and not a misspelled domain."""
    return finding.rule == "CT002" and not close_to(finding.path.strip("/"), ROOTS, cutoff=0.8)


def _check(element: etree._Element, kind: ElementType, problems: Problems, faulty: set[etree._Element]) -> None:
    if _check_attributes(element, kind, problems):
        faulty.add(element)
    if text := _text_of(element):
        problems.add("CT007", element, TEXT, text=quoted(text), element=name_of(element))
    for child in element:
        child_kind = kind.children.get(str(child.tag))
        if child_kind is not None:
            _check(child, child_kind, problems, faulty)
        else:
            faulty.add(child)
            _unknown_child(child, element, kind, problems)


def _check_attributes(element: etree._Element, kind: ElementType, problems: Problems) -> bool:
    tag, attributes = name_of(element), element.attrib
    allowed = [name for name in kind.attributes if name not in _TUNING_FILES_ONLY or not _is_in_domain(element)]
    missing = [name for name, (_, required) in kind.attributes.items() if required and name not in attributes]
    fault = bool(missing)
    for name, value in ((str(name), str(value)) for name, value in attributes.items()):
        if extension(str(element.tag), name, value):
            continue  # reported as such
        if name not in kind.attributes:
            meant = close_to(etree.QName(name).localname, [each for each in allowed if each not in attributes])
            if meant in missing:
                missing.remove(meant)  # the same typo: report it once
            problems.add(
                "CT003",
                element,
                name,
                attribute=name_of(element, name),
                element=tag,
                suggestion=_meant(meant and f"'{meant}'"),
                allowed=", ".join(allowed),
            )
            fault = True
        elif not (expected := kind.attributes[name][0]).accepts(value):
            problems.add(
                "CT005",
                element,
                name,
                value=quoted(value),
                attribute=name,
                element=tag,
                suggestion=_better(value, expected),
                expected=expected.expected,
            )
            fault = True
    for name in missing:
        problems.add("CT004", element, None, element=tag, attribute=name, expected=kind.attributes[name][0].expected)
    return fault


def _is_in_domain(element: etree._Element) -> bool:
    return element.getroottree().getroot().tag == "domain"


def _unknown_child(child: etree._Element, element: etree._Element, kind: ElementType, problems: Problems) -> None:
    meant = close_to(etree.QName(child).localname, kind.children)
    children = " and ".join(f"<{name}>" for name in kind.children) or "no children"
    problems.add(
        "CT006",
        child,
        None,
        child=name_of(child),
        element=name_of(element),
        suggestion=_meant(meant and f"<{meant}>"),
        allowed=children,
    )


def _better(value: str, expected: DataType) -> str:
    """Suggest a replacement for an invalid value: a listed value that is close, or the same without blanks."""
    if expected.closed:
        meant = close_to(value, expected.values)
    else:
        meant = "".join(value.split())
        if meant == value or not expected.accepts(meant):
            meant = ""
    return _meant(meant and f"'{meant}'")


def _meant(shown: str) -> str:
    return f"; did you mean {shown}?" if shown else ""


def _text_of(element: etree._Element) -> str:
    """Return the first text in an element that is not blank."""
    for text in (element.text, *(child.tail for child in element)):
        if text and (stripped := text.strip(" \t\r\n")):
            return stripped
    return ""
