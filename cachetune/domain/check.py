"""All checks on one document, in layers: XML, schema, meaning, a libvirt version; then the Domain if it is sound."""

from typing import Literal

import msgspec
from lxml import etree

from cachetune.domain import schema
from cachetune.domain.build import build_domain, elements_of
from cachetune.domain.compat import check_version, parse_version
from cachetune.domain.diagnosis import diagnose, warn_of_slips
from cachetune.domain.document import parse
from cachetune.domain.model import Domain
from cachetune.domain.parse import Reading, read
from cachetune.domain.positions import Positions
from cachetune.domain.problems import EnoughError, Problems
from cachetune.domain.rules import RULES
from cachetune.findings import Finding, Source

Engine = Literal["rng", "xsd"]


class Loaded(msgspec.Struct, frozen=True):
    """A document after all checks, with the ``name`` it was given. ``domain`` is None if any finding is an error."""

    name: str
    domain: Domain | None
    findings: tuple[Finding, ...]


class Checks(msgspec.Struct, frozen=True):
    """Which checks are made: the schema engine, a libvirt version, the path of an installed libvirt's domain.rng."""

    engine: Engine = "rng"
    libvirt: tuple[int, int] | None = None
    libvirt_schema: str | None = None


DEFAULT_CHECKS = Checks()


def load(data: bytes, name: str, *, libvirt: str | None = None) -> Loaded:
    """Check a document and read what it asks for. ``name`` is what to call it: a file's name, or <stdin>.

    ``libvirt`` is a version such as "9.0"; InputError if it is not. A document, however broken, raises nothing.
    """
    return check_and_load(data, Checks(libvirt=parse_version(libvirt) if libvirt else None), name)


def check(data: bytes, checks: Checks = DEFAULT_CHECKS) -> tuple[Finding, ...]:
    """The findings alone, in the order of their places. The quick way through many documents."""
    root = parse(data)
    if isinstance(root, Finding):
        return (root,)
    problems = Problems()
    _read(root, checks, problems)
    found = problems.findings(Positions(data, root, problems.elements())) if problems else ()
    return (*found, *_libvirt_schema(root, checks)) if checks.libvirt_schema else found


def check_and_load(data: bytes, checks: Checks, name: str = "") -> Loaded:
    """The findings, and the Domain if none of them is an error."""
    root = parse(data)
    if isinstance(root, Finding):
        return Loaded(name=name, domain=None, findings=(root,))
    problems = Problems()
    reading = _read(root, checks, problems)
    wanted = elements_of(reading) if reading else []
    positions = Positions(data, root, [*problems.elements(), *wanted])
    findings = (*problems.findings(positions), *_libvirt_schema(root, checks))
    if reading is None or any(finding.severity == "error" for finding in findings):
        return Loaded(name=name, domain=None, findings=findings)
    return Loaded(name=name, domain=build_domain(root, reading, positions), findings=findings)


def _read(root: etree._Element, checks: Checks, problems: Problems) -> Reading | None:
    """All layers on a parsed document; None if it is no domain or has too many problems to go on."""
    says = schema.relaxng_says if checks.engine == "rng" else schema.xsd_says
    refusal = says(root)
    faulty: set[etree._Element] = set()
    try:
        if refusal:
            faulty = diagnose(root, problems)
            if not problems:
                problems.add("CT009", root, None, reason=refusal)
            if root.tag != "domain":
                return None
        reading = read(root, problems, faulty)
        warn_of_slips(root, problems)
        if checks.libvirt:
            check_version(root, reading, checks.libvirt, problems, faulty)
    except EnoughError:
        return None
    return reading


def _libvirt_schema(root: etree._Element, checks: Checks) -> tuple[Finding, ...]:
    said = schema.libvirt_says(root, checks.libvirt_schema) if checks.libvirt_schema else None
    if said is None:
        return ()
    line, reason = said
    return (RULES["CT012"].at(Source(line=line, column=1, path="/"), reason=reason),)
