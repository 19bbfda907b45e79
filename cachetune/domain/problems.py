"""Problems found by the checks: a rule, the element and attribute at fault, and the values for its message.

Places are not computed while checking, because most documents have no problem. ``Problems.findings`` computes them
all at once.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from lxml import etree

from cachetune.text import printable

if TYPE_CHECKING:
    from cachetune.domain.xml.positions import Positions
    from cachetune.findings import Finding

MAX_PROBLEMS = 1000
_LONGEST_SHOWN = 60


class TooManyProblemsError(Exception):
    """Raised by Problems.add when there are too many problems to continue; caught where the checks are called."""


class Problems:
    """The problems of one document, in the order found."""

    __slots__ = ("_found",)

    def __init__(self) -> None:
        self._found: list[tuple[str, etree._Element, str | None, dict[str, object]]] = []

    def __bool__(self) -> bool:
        return bool(self._found)

    def add(self, rule: str, element: etree._Element, attribute: str | None = None, /, **values: object) -> None:
        """Record that ``element``, its ``attribute``, or its text ("#text") breaks ``rule``.

        An element among the values is shown as its name and line. Raises TooManyProblemsError beyond MAX_PROBLEMS.
        """
        if len(self._found) >= MAX_PROBLEMS:
            self._found.append(("CT011", element, None, {"limit": MAX_PROBLEMS}))
            raise TooManyProblemsError
        self._found.append((rule, element, attribute, values))

    def findings(self, positions: "Positions") -> "tuple[Finding, ...]":
        """Return all problems as findings, sorted by place; findings at one place keep their order."""
        from cachetune.domain.rules import RULES

        found = []
        for rule, element, attribute, values in self._found:
            shown = {name: _value(value, positions) for name, value in values.items()}
            found.append(RULES[rule].at(positions.at(element, attribute), hint=None, **shown))
        limit = [finding for finding in found if finding.rule == "CT011"]
        rest = [finding for finding in found if finding.rule != "CT011"]
        return (*sorted(rest, key=lambda finding: (finding.line, finding.column)), *limit)

    def rules(self) -> set[str]:
        """The ids of the rules that are broken."""
        return {rule for rule, *_ in self._found}

    def elements(self) -> Iterator[etree._Element]:
        """Yield the elements whose places the findings need."""
        for _, element, _, values in self._found:
            yield element
            yield from (value for value in values.values() if etree.iselement(value))


def quoted(text: str) -> str:
    """Return a value of the document for a message: quoted, printable and shortened."""
    if len(text) > _LONGEST_SHOWN:
        text = text[: _LONGEST_SHOWN - 1] + "…"
    return "'" + printable(text) + "'"


def name_of(element: etree._Element, attribute: str | None = None) -> str:
    """Return the name of an element or attribute as in the document, shortened."""
    name = etree.QName(element.tag if attribute is None else attribute)
    prefix: str | None = element.prefix
    if attribute is not None:
        prefix = next((short for short, full in element.nsmap.items() if short and full == name.namespace), None)
    shown = f"{prefix}:{name.localname}" if prefix else name.localname
    return shown if len(shown) <= _LONGEST_SHOWN else shown[: _LONGEST_SHOWN - 1] + "…"


def _value(value: object, positions: "Positions") -> object:
    if etree.iselement(value):
        return f"the <{name_of(value)}> on line {positions.at(value).line}"
    return value
