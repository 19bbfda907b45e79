"""Load a document: run the checks of check.py and, if there is no error, build the Domain."""

import msgspec

from cachetune.domain.build import build_domain, elements_of
from cachetune.domain.check import Checks, examine
from cachetune.domain.compat import parse_version
from cachetune.domain.model import Domain
from cachetune.domain.problems import Problems
from cachetune.domain.xml.document import RefusedError, parse
from cachetune.domain.xml.positions import Positions
from cachetune.findings import Finding


class Loaded(msgspec.Struct, frozen=True):
    """A checked document. ``name`` is the caller's name for it; ``domain`` is None if any finding is an error."""

    name: str
    domain: Domain | None
    findings: tuple[Finding, ...]


def load(data: bytes, name: str, *, libvirt: str | None = None, vcpus: int | None = None, live: bool = False) -> Loaded:
    """Check a document and read its requests. ``name`` is used in findings: the file's name, or <stdin>.

    The document is domain XML or a tuning file, which is a <cputune> alone: it has no guest name, and ``vcpus`` is the
    guest's maximum (None: any number). ``libvirt`` is a version such as "9.0". ``live`` is for XML that a libvirt has
    printed for a running guest, which may have a vendor's extensions.

    Raises UnknownVersionError for ``libvirt``, and nothing for a document, however broken.
    """
    return load_checked(data, name, Checks(libvirt=parse_version(libvirt) if libvirt else None, live=live), vcpus)


def load_checked(data: bytes, name: str, checks: Checks, vcpus: int | None = None) -> Loaded:
    """Like ``load``, with all options of the checks."""
    try:
        root = parse(data)
    except RefusedError as refused:
        return Loaded(name=name, domain=None, findings=(refused.finding(name),))
    problems = Problems()
    parsed = examine(root, checks, problems, vcpus)
    wanted = elements_of(parsed) if parsed else []
    positions = Positions(data, root, [*problems.elements(), *wanted], name)
    findings = problems.findings(positions)
    if parsed is None or any(finding.severity == "error" for finding in findings):
        return Loaded(name=name, domain=None, findings=findings)
    return Loaded(name=name, domain=build_domain(root, parsed, positions), findings=findings)
