"""All checks of one document, in layers: XML, schema, meaning, a libvirt version.

Whatever only findings need (rules, positions, the diagnosis) is imported when there are some, because the command must
start fast and check a thousand valid files fast.
"""

from collections.abc import Collection
from typing import TYPE_CHECKING, Literal, NamedTuple

from lxml import etree

from cachetune.domain.parse import ParsedGroups, read_groups
from cachetune.domain.problems import Problems, TooManyProblemsError
from cachetune.domain.xml import schema
from cachetune.domain.xml.document import RefusedError, parse

if TYPE_CHECKING:
    from cachetune.findings import Finding

Engine = Literal["rng", "xsd"]
_RELEVANT = ("vcpu", "cputune")
_TRIAL = 100
_MOST_REMEMBERED = 512
_LONGEST_REMEMBERED = 1 << 14


class Checks(NamedTuple):
    """Which checks to make: the schema engine, a libvirt version, the path of an installed libvirt's domain.rng.

    ``live`` is for XML that a libvirt has printed for a running guest: its own extensions are no errors.
    """

    engine: Engine = "rng"
    libvirt: tuple[int, int] | None = None
    libvirt_schema: str | None = None
    live: bool = False


class Checker:
    """Checks documents, one after another.

    It remembers the relevant parts (<vcpu> and <cputune>) of valid documents, because guests from one template differ
    only in names and disks. It stops remembering if the first documents have nothing in common.
    """

    def __init__(self, checks: Checks) -> None:
        self._checks = checks
        self._valid: set[tuple[object, ...]] = set()
        self._new = self._known = 0
        self._remembering = not checks.libvirt_schema  # libvirt's schema checks the whole document

    def findings(self, data: bytes) -> "tuple[Finding, ...]":
        """Return the findings in document order; none for a valid document."""
        try:
            root = parse(data)
        except RefusedError as refused:
            return (refused.finding(),)
        part = _relevant_parts(root) if self._remembering and (self._new < _TRIAL or self._known) else None
        if part in self._valid:
            self._known += 1
            return ()
        self._new += 1
        problems = Problems()
        examine(root, self._checks, problems)
        if problems:
            from cachetune.domain.xml.positions import Positions

            return problems.findings(Positions(data, root, problems.elements()))
        if part and len(self._valid) < _MOST_REMEMBERED and sum(map(_length, part)) < _LONGEST_REMEMBERED:
            self._valid.add(part)
        return ()


def examine(root: etree._Element, checks: Checks, problems: Problems, vcpus: int | None = None) -> ParsedGroups | None:
    """Run all layers on a parsed document. Returns None if it has the wrong root or too many problems.

    ``vcpus`` is the maximum number of vCPUs for a tuning file; a domain has its own.
    """
    says = schema.relaxng_says if checks.engine == "rng" else schema.xsd_says
    refusal = says(root)
    faulty: set[etree._Element] = set()
    try:
        if refusal:
            from cachetune.domain.dialects import without_extensions
            from cachetune.domain.xml.diagnosis import diagnose

            faulty = diagnose(root, problems, live=checks.live)
            if problems.rules() == {"CT157"}:
                refusal = says(without_extensions(root))
            if refusal and problems.rules() <= {"CT157"}:  # the diagnosis found no reason, so no value can be trusted
                problems.add("CT009", root, None, reason=refusal)
                return None
            if root.tag not in schema.ROOTS:
                return None
        parsed = read_groups(root, problems, faulty, vcpus)
        if parsed.unknown:
            from cachetune.domain.xml.diagnosis import warn_about_typos

            warn_about_typos(parsed.unknown, problems)
        if root.tag == "domain" or checks.libvirt:  # a tuning file is not for libvirt
            _compare_with_libvirt(root, parsed, checks, problems, faulty)
        if checks.libvirt_schema and (refused := schema.libvirt_says(root, checks.libvirt_schema)):
            problems.add("CT012", refused[0], None, reason=refused[1])
    except TooManyProblemsError:
        return None
    return parsed


def _compare_with_libvirt(
    root: etree._Element, parsed: ParsedGroups, checks: Checks, problems: Problems, faulty: Collection[etree._Element]
) -> None:
    for element in parsed.modes:
        problems.add("CT170", element, "mode")
    if checks.libvirt:
        from cachetune.domain.compat import check_version

        check_version(root, parsed, checks.libvirt, problems, faulty)
    elif parsed.own_units:
        from cachetune.domain.compat import warn_about_own_units

        warn_about_own_units(parsed, problems)


def _length(part: str | bytes | None) -> int:
    return len(part or b"")


def _relevant_parts(root: etree._Element) -> tuple[str | bytes | None, ...]:
    """Return all of a document that the checks read: documents with equal parts have equal findings."""
    counting = [root] if root.tag == "cputune" else root.iterchildren(*_RELEVANT)
    parts = [etree.tostring(child, with_tail=False) for child in counting]
    return (str(root.tag), root.get("type"), *parts)
