"""The text of a tuning file: what is above <cputune>, and the canonical <cputune>.

A tuning file names a schema, so that an editor can complete and check it: RELAX NG in an <?xml-model?>, XML Schema in
xsi:noNamespaceSchemaLocation of <cputune>. Both are for editors. cachetune never reads what they name, and neither does
libvirt. Comments above <cputune> are kept when the file is written again; format.py writes everything below.
"""

import re
from typing import Self

import msgspec
from lxml import etree

from cachetune.domain.format import format_cputune
from cachetune.domain.model import Domain

SCHEMA = "/usr/share/cachetune/cachetune.rng"
"""Where the Debian package has the schema for editors; a file that is not there does no harm."""

_XSI = "http://www.w3.org/2001/XMLSchema-instance"
_LOCATION = f"{{{_XSI}}}noNamespaceSchemaLocation"
_RELAX_NG = 'type="application/xml" schematypens="http://relaxng.org/ns/structure/1.0"'
_COMPACT = 'type="application/relax-ng-compact-syntax"'
_PARSER = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)


class Head(msgspec.Struct, frozen=True):
    """What a tuning file has above <cputune>, as texts, and the XML Schema that <cputune> names."""

    above: tuple[str, ...] = ()
    xsd: str = ""

    def naming(self, schema: str) -> Self:
        """The same comments, with this schema; "" names no schema."""
        above = tuple(text for text in self.above if not _is_model(text))
        if schema.endswith(".xsd"):
            return msgspec.structs.replace(self, above=above, xsd=schema)
        if schema:
            kind = _COMPACT if schema.endswith(".rnc") else _RELAX_NG
            above = (f'<?xml-model href="{_escaped(schema)}" {kind}?>', *above)
        return msgspec.structs.replace(self, above=above, xsd="")

    @property
    def names_schema(self) -> bool:
        """Whether an editor finds a schema."""
        return bool(self.xsd) or any(map(_is_model, self.above))


def head_of(data: bytes) -> Head:
    """The head of a document that was loaded without errors; an empty one for domain XML."""
    root = etree.fromstring(data, _PARSER)
    if root.tag != "cputune":
        return Head()
    above = [etree.tostring(node, encoding="unicode", with_tail=False) for node in root.itersiblings(preceding=True)]
    return Head(tuple(reversed(above)), root.get(_LOCATION, ""))


def tuning_text(domain: Domain, head: Head) -> str:
    """The text of a tuning file; loading it gives the same groups."""
    text = format_cputune(domain) or "<cputune/>\n"
    if head.xsd:
        location = f" xmlns:xsi='{_XSI}'\n         xsi:noNamespaceSchemaLocation='{_escaped(head.xsd)}'"
        text = text.replace("<cputune", f"<cputune{location}", 1)
    return "".join(f"{each}\n" for each in head.above) + text


def _is_model(text: str) -> bool:
    return re.match(r"<\?xml-model[\s?]", text) is not None


def _escaped(text: str) -> str:
    """As the value of an attribute, or of a pseudo-attribute: it cannot end the processing instruction."""
    for character, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;"), ("'", "&apos;")):
        text = text.replace(character, entity)
    return text
