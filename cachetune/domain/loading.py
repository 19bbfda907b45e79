"""From bytes to a Domain: the checks of check.py, then, if there is no error, the values with their places."""

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
    """A document after all checks, with the ``name`` it was given. ``domain`` is None if any finding is an error."""

    name: str
    domain: Domain | None
    findings: tuple[Finding, ...]


def load(data: bytes, name: str, *, libvirt: str | None = None, vcpus: int | None = None) -> Loaded:
    """Check a document and read what it asks for. ``name`` is what to call it: a file's name, or <stdin>.

    The document is domain XML or a tuning file: a lone <cputune>, for a guest that has ``vcpus`` at most (None: any
    number) and whose name it does not tell. ``libvirt`` is a version such as "9.0"; InputError if it is not. A
    document, however broken, raises nothing.
    """
    return load_checked(data, name, Checks(libvirt=parse_version(libvirt) if libvirt else None), vcpus)


def load_checked(data: bytes, name: str, checks: Checks, vcpus: int | None = None) -> Loaded:
    """Like load, with a choice of checks."""
    try:
        root = parse(data)
    except RefusedError as refused:
        return Loaded(name=name, domain=None, findings=(refused.finding(),))
    problems = Problems()
    reading = examine(root, checks, problems, vcpus)
    wanted = elements_of(reading) if reading else []
    positions = Positions(data, root, [*problems.elements(), *wanted], name)
    findings = problems.findings(positions)
    if reading is None or any(finding.severity == "error" for finding in findings):
        return Loaded(name=name, domain=None, findings=findings)
    return Loaded(name=name, domain=build_domain(root, reading, positions), findings=findings)
