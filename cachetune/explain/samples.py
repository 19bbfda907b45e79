"""The samples of a rule: how they are run, how they are shown, and what is marked in them.

A sample is XML unless the rule's ``host`` says otherwise: "scene" is a situation in words, and "file" the name of a
file. ``host`` also says what the XML is checked against: nothing, ``libvirt:9.0``, ``live`` (the XML of a running
guest) or a simulated host with options of plan, ``sim:skylake-2s --shrink-default``. ``schema`` and ``engine`` need
another program's schema, or faults that no document shows.
"""

import re

import msgspec

from cachetune.domain import Checks, load, load_checked, parse_version
from cachetune.domain.xml.document import read_file, unreadable
from cachetune.errors import InputError
from cachetune.findings import Finding, Rule
from cachetune.host.read import read_host
from cachetune.plan import Options, check
from cachetune.sim import SimulatedResctrl, load_profile

NAME = "sample.xml"
NOT_RUN = ("scene", "schema", "engine")
_MOST_LINES, _HEAD, _TAIL, _AROUND = 26, 8, 4, 1
_LONGEST_LINE = 100
_ATTRIBUTE = re.compile(r"[\w:-]+\s*=\s*(?:'[^']*'|\"[^\"]*\")")
_TAG = re.compile(r"<[/!]?[\w:-]+")
_CONTENT = re.compile(r"[^<]+")


class Line(msgspec.Struct, frozen=True):
    """A line of a sample, with its number from 1; 0 stands for lines that are left out.

    ``marked`` are the first and the last column (from 0, exclusive) of what breaks the rule. ``changed`` is true for
    lines of the good sample that the bad one does not have.
    """

    number: int
    text: str
    marked: tuple[int, int] = (0, 0)
    changed: bool = False


class Sample(msgspec.Struct, frozen=True):
    """A sample as it is shown: its lines, and what is found in it."""

    lines: tuple[Line, ...]
    is_xml: bool
    finding: Finding | None = None


def checked_with(rule: Rule) -> str:
    """The command that checks the rule's samples; "" if there is no such command."""
    kind, _, name = rule.host.partition(":")
    match kind:
        case "":
            return f"cachetune validate {NAME}"
        case "libvirt":
            return f"cachetune validate --libvirt {name} {NAME}"
        case "schema":
            return f"cachetune validate --libvirt-schema domain.rng {NAME}"
        case "sim":
            verb = "plan" if " " in name else "validate"
            return f"cachetune {verb} --host {rule.host} {NAME}"
        case "file":
            return f"cachetune validate {rule.bad}"
        case _:
            return ""


def findings_in(text: str, host: str) -> tuple[Finding, ...]:
    """What is found in a sample that is checked against ``host``, which must not be one of ``NOT_RUN``."""
    kind, _, name = host.partition(":")
    match kind:
        case "sim":
            return _on_host(name, text)
        case "libvirt":
            return _checked(text, Checks(libvirt=parse_version(name)))
        case "live":
            return _checked(text, Checks(live=True))
        case "file" if not text.startswith("<"):
            return _opened(text)
        case _:
            return _checked(text, Checks())


def bad_sample(rule: Rule) -> Sample:
    """The sample that breaks the rule, with what is found in it."""
    text = pretty(rule.bad)
    if rule.host in NOT_RUN:
        return Sample(_excerpt(text, None), is_xml=rule.host != "scene")
    finding = next((f for f in findings_in(text, rule.host) if f.rule == rule.id), None)
    return Sample(_excerpt(text, finding), is_xml=text.startswith("<"), finding=finding)


def good_sample(rule: Rule) -> Sample:
    """The sample that satisfies the rule, with the lines that differ from the bad one."""
    text = pretty(rule.good)
    before = {line.strip() for line in pretty(rule.bad).split("\n")}  # another root indents all lines
    lines = (msgspec.structs.replace(line, changed=line.text.strip() not in before) for line in _excerpt(text, None))
    return Sample(tuple(lines), is_xml=text.startswith("<"))


def pretty(sample: str) -> str:
    """The sample, indented if it is well-formed XML on one line."""
    from lxml import etree

    if not sample.startswith("<") or "\n" in sample:
        return sample
    parser = etree.XMLParser(resolve_entities=False, no_network=True, remove_blank_text=True, huge_tree=True)
    try:
        root = etree.fromstring(sample, parser)
    except etree.XMLSyntaxError:
        return sample
    return etree.tostring(root, pretty_print=True, encoding="unicode").rstrip().replace('"', "'")


def _checked(text: str, checks: Checks) -> tuple[Finding, ...]:
    return load_checked(text.encode(), NAME, checks).findings


def _on_host(name: str, text: str) -> tuple[Finding, ...]:
    profile, *options = name.split()
    domain = load(text.encode(), NAME).domain
    if domain is None:
        return ()
    host = read_host(SimulatedResctrl(load_profile(profile)))
    return check(domain, host, Options(shrink_default="--shrink-default" in options))


def _opened(name: str) -> tuple[Finding, ...]:
    try:
        read_file(name)
    except InputError as error:
        return (unreadable(str(error), error.hint),)
    return ()


def _excerpt(text: str, finding: Finding | None) -> tuple[Line, ...]:
    """All lines, or of a long sample the first, the last and those around the finding."""
    texts = text.split("\n")
    marked = _marked(texts[finding.line - 1], finding) if finding and finding.line else (0, 0)
    lines = [Line(n, each, marked if finding and n == finding.line else (0, 0)) for n, each in enumerate(texts, 1)]
    if len(lines) <= _MOST_LINES:
        return tuple(lines)
    near = finding.line if finding else 0
    kept = [
        line
        for line in lines
        if len(line.text) <= _LONGEST_LINE
        and (line.number <= _HEAD or line.number > len(lines) - _TAIL or abs(line.number - near) <= _AROUND)
    ]
    shown: list[Line] = []
    for line in kept:
        left_out = line.number - 1 - (shown[-1].number if shown else 0)
        if left_out:
            shown.append(Line(0, f"… {left_out} more line{'s' if left_out > 1 else ''}"))
        shown.append(line)
    return tuple(shown)


def _marked(line: str, finding: Finding) -> tuple[int, int]:
    """The columns of the attribute, the tag or the text at the place of a finding."""
    start = max(finding.column - 1, 0)
    if start >= len(line):  # noticed at the end of the line
        return len(line) - len(line.lstrip()), len(line)
    found = (_ATTRIBUTE if "/@" in finding.path else _TAG).match(line, start) or _CONTENT.match(line, start)
    return start, found.end() if found else start + 1
