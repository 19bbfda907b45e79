"""The grammar of cachetune.rng as values for the diagnosis, read from the schema so that there is no second copy.

Only the RELAX NG patterns that cachetune.rng uses are supported; a test checks that they cover the whole schema.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache

from lxml import etree

from cachetune.domain.xml.schema import schema_path

_RNG = "{http://relaxng.org/ns/structure/1.0}"
_LARGEST = {"unsignedInt": (1 << 32) - 1, "unsignedLong": (1 << 64) - 1}
_EXPECTED = {
    "cpuset": "a list of vCPUs without blanks, for example 0-3,^1",
    "threads": "emulator, iothreads, iothreads:1-2 or vhost",
    "unit": "a unit: B, KiB, MiB, GiB, TiB, PiB or EiB (KB, MB, … are powers of 1000), ways or %",
    "identifier": "any text",
    "size": "a whole number up to 18446744073709551615, in digits only, or a percentage such as 12.5 with unit='%'",
    "bandwidth": "a whole number up to 4294967295, in digits only, or a number such as 6.25 with a unit",
}


@dataclass(frozen=True, slots=True)
class DataType:
    """The valid values of an attribute: listed values and texts that match a pattern, or any text if it has neither.

    Each pattern has the maximum of a whole number, None if it describes something else.
    """

    name: str
    values: tuple[str, ...] = ()
    patterns: tuple[tuple[str, int | None], ...] = ()

    def accepts(self, text: str) -> bool:
        """Whether the schema accepts ``text``."""
        if text in self.values or not (self.values or self.patterns):
            return True
        return any(re.fullmatch(pattern, text) and _within(text, largest) for pattern, largest in self.patterns)

    @property
    def closed(self) -> bool:
        """Whether only the listed values are valid."""
        return bool(self.values) and not self.patterns

    @property
    def expected(self) -> str:
        """Return what to write, for a hint."""
        if self.closed:
            return " or ".join((", ".join(self.values[:-1]), self.values[-1]))
        if self.name in _EXPECTED:
            return _EXPECTED[self.name]
        return f"a whole number up to {self.patterns[0][1]}, in digits only"


@dataclass(slots=True)
class ElementType:
    """An element: its attributes with their types (True: required) and its children, by name."""

    attributes: dict[str, tuple[DataType, bool]] = field(default_factory=dict)
    children: dict[str, "ElementType"] = field(default_factory=dict)


@cache
def grammar() -> dict[str, ElementType]:
    """Return the three elements by name."""
    root = etree.parse(schema_path("cachetune.rng")).getroot()
    defines = {str(define.get("name")): define for define in root.iter(_RNG + "define")}
    top = ElementType()
    for pattern in root.iterfind(f"{_RNG}start/*"):
        _read(pattern, top, defines, required=True)
    return top.children


def _read(pattern: etree._Element, into: ElementType, defines: dict[str, etree._Element], *, required: bool) -> None:
    match etree.QName(pattern).localname:
        case "element":
            child = ElementType()
            into.children[str(pattern.get("name"))] = child
            _read_all(pattern, child, defines, required=True)
        case "attribute":
            (ref,) = _patterns(pattern)
            into.attributes[str(pattern.get("name"))] = (_data_type(ref, defines), required)
        case "ref":
            _read_all(defines[str(pattern.get("name"))], into, defines, required=required)
        case "optional" | "zeroOrMore" | "choice":
            _read_all(pattern, into, defines, required=False)
        case other:
            raise NotImplementedError(f"cachetune.rng uses <{other}>, which grammar.py cannot read")


def _read_all(parent: etree._Element, into: ElementType, defines: dict[str, etree._Element], *, required: bool) -> None:
    for pattern in _patterns(parent):
        _read(pattern, into, defines, required=required)


def _patterns(parent: etree._Element) -> Iterator[etree._Element]:
    """The children that are RELAX NG; documentation is not."""
    return parent.iterchildren(_RNG + "*")


def _data_type(ref: etree._Element, defines: dict[str, etree._Element]) -> DataType:
    name = str(ref.get("name"))
    parts = [*_parts(name, defines)]
    return DataType(
        name=name,
        values=tuple(str(value.text) for part in parts for value in part.iter(_RNG + "value")),
        patterns=tuple(
            (str(param.text), _LARGEST.get(str(data.get("type"))))
            for part in parts
            for data in part.iter(_RNG + "data")
            for param in data.iter(_RNG + "param")
        ),
    )


def _parts(name: str, defines: dict[str, etree._Element]) -> Iterator[etree._Element]:
    """The definition, and those that it refers to."""
    yield defines[name]
    for ref in defines[name].iter(_RNG + "ref"):
        yield from _parts(str(ref.get("name")), defines)


def _within(digits: str, largest: int | None) -> bool:
    digits = digits.lstrip("0")
    return largest is None or (len(digits) <= len(str(largest)) and int(digits or "0") <= largest)
