"""Run a sample of a rule: what is found in it, and the rules that it breaks.

Which judge runs it is the rule's ``host``: a simulated host or a version of libvirt to check the document against,
another program's schema, a file name, or a scene. Without one the document is checked alone.
"""

from pathlib import Path
from typing import Literal
from unittest.mock import patch

from cachetune.domain import Checks, load, load_checked, parse_version
from cachetune.domain.xml import diagnosis
from cachetune.domain.xml.document import read_file, unreadable
from cachetune.errors import InputError
from cachetune.findings import Finding, Rule
from cachetune.host.read import read_host
from cachetune.plan import check
from cachetune.sim import SimulatedResctrl, load_profile
from tests.rules.scenes import SCENES

Side = Literal["bad", "good"]

# An installed libvirt's schema that allows everything except one element, which cachetune does not look at.
LIBVIRT_SCHEMA = """<grammar xmlns="http://relaxng.org/ns/structure/1.0">
  <start><ref name="any"/></start>
  <define name="any">
    <element>
      <anyName><except><name>memroy</name></except></anyName>
      <zeroOrMore><choice><attribute><anyName/></attribute><text/><ref name="any"/></choice></zeroOrMore>
    </element>
  </define>
</grammar>
"""


def findings_of(rule: Rule, side: Side, directory: Path) -> tuple[Finding, ...]:
    """What is found in a sample of ``rule``; ``directory`` is empty."""
    if rule.host == "scene":
        scene = SCENES[rule.id]
        return scene.bad() if side == "bad" else scene.good()
    return _judged(rule.host, rule.bad if side == "bad" else rule.good, directory)


def broken_by(rule: Rule, side: Side, directory: Path) -> dict[str, str]:
    """The rules that a sample of ``rule`` breaks, with their severities."""
    return {finding.rule: finding.severity for finding in findings_of(rule, side, directory)}


def _judged(judge: str, sample: str, directory: Path) -> tuple[Finding, ...]:
    kind, _, name = judge.partition(":")
    match kind:
        case "sim":
            return _on_host(name, sample)
        case "libvirt":
            return _checked(sample, Checks(libvirt=parse_version(name)))
        case "schema":
            schema = directory / "domain.rng"
            schema.write_text(LIBVIRT_SCHEMA)
            return _checked(sample, Checks(libvirt_schema=str(schema)))
        case "engine":  # our own diagnosis explains all that the schema engine refuses, so it is switched off
            with patch.object(diagnosis, "diagnose", lambda _root, _problems, **_options: set()):
                return _checked(sample, Checks())
        case "live":
            return _checked(sample, Checks(live=True))
        case "file" if not sample.startswith("<"):
            return _opened(sample)
        case _:
            return _checked(sample, Checks())


def _checked(sample: str, checks: Checks) -> tuple[Finding, ...]:
    return load_checked(sample.encode(), "sample.xml", checks).findings


def _on_host(profile: str, sample: str) -> tuple[Finding, ...]:
    loaded = load(sample.encode(), "sample.xml")
    assert loaded.domain is not None, loaded.findings
    return check(loaded.domain, read_host(SimulatedResctrl(load_profile(profile))))


def _opened(name: str) -> tuple[Finding, ...]:
    try:
        read_file(name)
    except InputError as error:
        return (unreadable(str(error), error.hint),)
    return ()
