"""The table of rules: complete, and each rule broken by one sample and satisfied by the other."""

import re
from pathlib import Path

import pytest

from cachetune.domain import Checks, load_checked, parse_version
from cachetune.domain import check as check_module
from cachetune.domain.rules import RULES
from cachetune.domain.xml import diagnosis
from cachetune.domain.xml.document import read_file, unreadable
from cachetune.errors import InputError
from cachetune.findings import Rule

CHECKING = Path(check_module.__file__).parent

# A libvirt schema in which everything is allowed but an empty cachetune, in place of an installed one.
STRICT_SCHEMA = """<grammar xmlns="http://relaxng.org/ns/structure/1.0">
  <start><ref name="any"/></start>
  <define name="any">
    <element>
      <anyName><except><name>cachetune</name></except></anyName>
      <ref name="content"/>
    </element>
  </define>
  <define name="content">
    <zeroOrMore>
      <choice><attribute><anyName/></attribute><text/><ref name="any"/><ref name="cachetune"/></choice>
    </zeroOrMore>
  </define>
  <define name="cachetune">
    <element name="cachetune">
      <zeroOrMore><attribute><anyName/></attribute></zeroOrMore><oneOrMore><ref name="any"/></oneOrMore>
    </element>
  </define>
</grammar>
"""


def found(sample: str, judge: str, tmp_path: Path) -> dict[str, str]:
    """The rules that the sample breaks, with their severities."""
    if judge == "file" and not sample.startswith("<"):
        with pytest.raises(InputError) as caught:
            read_file(sample)
        finding = unreadable(str(caught.value), caught.value.hint)
        return {finding.rule: finding.severity}
    version = judge.removeprefix("libvirt:") if judge.startswith("libvirt:") else None
    schema = tmp_path / "strict.rng"
    schema.write_text(STRICT_SCHEMA)
    checks = Checks(
        libvirt=parse_version(version) if version else None,
        libvirt_schema=str(schema) if judge == "schema" else None,
    )
    return {finding.rule: finding.severity for finding in load_checked(sample.encode(), "sample", checks).findings}


@pytest.mark.parametrize("rule", RULES.values(), ids=lambda rule: rule.id)
def test_the_bad_sample_breaks_its_rule_and_the_good_one_breaks_none(
    rule: Rule, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if rule.host == "engine":  # the walk explains all that the engine refuses, so it is made blind here
        monkeypatch.setattr(diagnosis, "diagnose", lambda _root, _problems: set())
    assert found(rule.bad, rule.host, tmp_path).get(rule.id) == rule.severity
    assert found(rule.good, rule.host, tmp_path) == {}


@pytest.mark.parametrize("rule", RULES.values(), ids=lambda rule: rule.id)
def test_a_rule_says_all_it_must(rule: Rule) -> None:
    assert re.fullmatch(r"CT[013][0-9]{2}", rule.id)
    assert rule.severity in ("error", "warning")
    for text in (rule.summary, rule.message, rule.fix, rule.bad, rule.good):
        assert text.strip()
    assert rule.summary.endswith((".", ")."))
    assert not rule.message.endswith(".")


def test_every_rule_is_used_in_the_code_and_every_rule_in_the_code_is_in_the_table() -> None:
    used = {
        rule
        for path in CHECKING.rglob("*.py")
        if path.name != "rules.py"
        for rule in re.findall(r"CT[0-9]{3}", path.read_text())
    }
    assert used == set(RULES)


def test_the_judges_of_samples_are_known() -> None:
    assert {rule.host.partition(":")[0] for rule in RULES.values()} == {"", "libvirt", "engine", "schema", "file"}
