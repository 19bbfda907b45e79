"""What vendors' own versions of libvirt add to the elements that cachetune reads, as data.

In a file an extension is an error that names it (CT014). In the XML that a vendor's libvirt prints for a running guest
it is in effect already, so it is set aside with a warning (CT157): cachetune plans the rest.
"""

import copy
from collections.abc import Iterator
from typing import NamedTuple

from lxml import etree

from cachetune.domain.xml.schema import tunes


class Extension(NamedTuple):
    """An attribute that libvirt does not have, or, with ``value``, a value that makes the whole element one."""

    dialect: str
    element: str
    attribute: str
    value: str | None
    meaning: str

    @property
    def shown(self) -> str:
        """The extension as a message names it."""
        if self.value is None:
            return f"attribute '{self.attribute}' on <{self.element}>"
        return f"<{self.element}> with {self.attribute} '{self.value}'"


# Source: Kunpeng BoostKit, "MPAM-enabled libvirt" (openEuler 24.03 LTS SP2, libvirt 9.10.0).
_OPENEULER = "openEuler's libvirt"
EXTENSIONS = (
    Extension(_OPENEULER, "cache", "type", "priority", "the priority in the cache, L3PRI in resctrl"),
    Extension(_OPENEULER, "node", "min_bandwidth", None, "the minimum bandwidth, MBMIN in resctrl"),
    Extension(_OPENEULER, "node", "hardlimit", None, "whether the bandwidth is a hard limit, MBHDL in resctrl"),
    Extension(_OPENEULER, "node", "priority", None, "the priority of memory accesses, MBPRI in resctrl"),
)
_BY_PLACE = {(each.element, each.attribute, each.value): each for each in EXTENSIONS}


def extension(element: str, attribute: str, value: str) -> Extension | None:
    """The extension that an attribute of an element is, or that its value makes of the element."""
    return _BY_PLACE.get((element, attribute, None)) or _BY_PLACE.get((element, attribute, value))


def extensions_in(root: etree._Element) -> Iterator[tuple[etree._Element, Extension]]:
    """Yield each element that has an extension or is one, in document order."""
    for tune in tunes(root):
        for element in tune.iter(etree.Element):
            for name, value in element.attrib.items():
                if found := extension(str(element.tag), str(name), str(value)):
                    yield element, found


def without_extensions(root: etree._Element) -> etree._Element:
    """A copy of the document as it would be without them."""
    plain = copy.deepcopy(root)
    for element, found in [*extensions_in(plain)]:
        if found.value is None:
            del element.attrib[found.attribute]
        elif (parent := element.getparent()) is not None:
            parent.remove(element)
    return plain
