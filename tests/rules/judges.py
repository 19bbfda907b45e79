"""Run a sample of a rule: what is found in it, and the rules that it breaks.

Most are run as ``explain`` does. Only a test runs those that need another program's schema, a fault that no document
shows, or a situation on a host.
"""

from pathlib import Path
from typing import Literal
from unittest.mock import patch

from cachetune.domain import Checks, load_checked
from cachetune.domain.xml import diagnosis
from cachetune.explain.samples import findings_in
from cachetune.findings import Finding, Rule
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
    sample = rule.bad if side == "bad" else rule.good
    match rule.host:
        case "scene":
            scene = SCENES[rule.id]
            return scene.bad() if side == "bad" else scene.good()
        case "schema":
            schema = directory / "domain.rng"
            schema.write_text(LIBVIRT_SCHEMA)
            return _checked(sample, Checks(libvirt_schema=str(schema)))
        case "engine":  # our own diagnosis explains all that the schema engine refuses, so it is switched off
            with patch.object(diagnosis, "diagnose", lambda _root, _problems, **_options: set()):
                return _checked(sample, Checks())
        case host:
            return findings_in(sample, host)


def broken_by(rule: Rule, side: Side, directory: Path) -> dict[str, str]:
    """The rules that a sample of ``rule`` breaks, with their severities."""
    return {finding.rule: finding.severity for finding in findings_of(rule, side, directory)}


def _checked(sample: str, checks: Checks) -> tuple[Finding, ...]:
    return load_checked(sample.encode(), "sample.xml", checks).findings
