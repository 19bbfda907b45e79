"""XML from libvirt, read as untrusted input: no entities, no network, bounded in size.

libvirt writes it for its own use, so there is no schema for it; readers take the parts that are well-formed and ignore
the rest. The domain layer checks what a guest requests.
"""

import re

import msgspec
from lxml import etree

MAX_BYTES = 16 << 20


class LiveXmlError(Exception):
    """The text is not libvirt's XML; the message is the reason, without a full stop."""


class LiveDomain(msgspec.Struct, frozen=True):
    """A <domain>: what identifies the guest, and its text for planning.

    ``user`` is the uid that libvirt gave to the process, None if it chose none or gives it by name.
    """

    name: str
    uuid: str
    id: int | None
    xml: str
    user: int | None = None

    def may_run_as(self, user: int | None) -> bool:
        """Whether a process of this user can be the guest's, as far as both are known. Root need not forge."""
        return self.user is None or user in (None, 0, self.user)


def parse(data: bytes) -> etree._Element:
    """The root element. Raises LiveXmlError."""
    if len(data) > MAX_BYTES:
        raise LiveXmlError(f"larger than {MAX_BYTES >> 20} MiB")
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, remove_comments=True, remove_pis=True
    )
    try:
        root = etree.fromstring(data, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise LiveXmlError(f"not XML: {str(error).splitlines()[0]}") from None
    if root.getroottree().docinfo.internalDTD is not None:
        raise LiveXmlError("it has a document type declaration, which libvirt never writes")
    return root


def live_domain(element: etree._Element | None) -> LiveDomain:
    """Read a <domain> element. Raises LiveXmlError if it is not one, or has no name."""
    if element is None or element.tag != "domain":
        raise LiveXmlError("it has no <domain>")
    name = element.findtext("name")
    if not name:
        raise LiveXmlError("its <domain> has no name")
    xml = etree.tostring(element, encoding="unicode", with_tail=False)
    return LiveDomain(name, element.findtext("uuid") or "", number(element.get("id")), xml, _user(element))


def _user(element: etree._Element) -> int | None:
    """From ``<seclabel model='dac'><label>+64055:+108</label></seclabel>``."""
    label = re.fullmatch(r"\+([0-9]{1,10}):.*", element.findtext("seclabel[@model='dac']/label") or "", re.ASCII)
    return int(label[1]) if label else None


def number(text: str | None) -> int | None:
    """A decimal number as libvirt writes it; None for anything else."""
    return int(text) if text and len(text) < 10 and text.isascii() and text.isdecimal() else None
