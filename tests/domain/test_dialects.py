"""Extensions of vendors' libvirts: named in a file, set aside in the XML of a running guest."""

from typing import get_args

import msgspec
import pytest

from cachetune.domain import Checks, load, load_checked
from cachetune.domain.check import Engine
from cachetune.domain.dialects import EXTENSIONS, Extension
from cachetune.domain.loading import Loaded
from cachetune.domain.xml import diagnosis
from cachetune.units import Rate, Size

CACHE = "<cache id='1' level='3' type='both' size='4096' unit='KiB'/>"
# as openEuler documents it
OPENEULER = f"""\
<domain type='kvm'>
  <name>ds</name>
  <vcpu>16</vcpu>
  <cputune>
    <cachetune vcpus='0-15'>
      {CACHE}
      <cache id='1' level='3' type='priority' size='2'/>
    </cachetune>
    <memorytune vcpus='0-15'>
      <node id='0' bandwidth='60' min_bandwidth='10' hardlimit='0' priority='2'/>
    </memorytune>
  </cputune>
</domain>
"""
PLAIN = (
    OPENEULER.replace("<cache id='1' level='3' type='priority' size='2'/>", "<!-- none -->")
    .replace(" min_bandwidth='10'", "")
    .replace(" hardlimit='0' priority='2'", "")
)
EITHER_ENGINE = pytest.mark.parametrize("engine", get_args(Engine))


def loaded(xml: str, engine: Engine = "rng", *, live: bool = False) -> Loaded:
    return load_checked(xml.encode(), "ds.xml", Checks(engine=engine, live=live))


def texts(found: Loaded) -> list[str]:
    return [finding.text for finding in found.findings]


def only(extension: Extension) -> str:
    """The document with this extension alone."""
    if extension.value is not None:
        element = f"<{extension.element} id='1' level='3' {extension.attribute}='{extension.value}' size='2'/>"
        return PLAIN.replace("<!-- none -->", element)
    return PLAIN.replace(f"<{extension.element} id='0'", f"<{extension.element} id='0' {extension.attribute}='1'")


@EITHER_ENGINE
def test_each_of_openeulers_extensions_in_a_file_is_named_with_its_place(engine: Engine) -> None:
    found = loaded(OPENEULER, engine)
    assert found.domain is None
    assert texts(found)[1] == (
        "attribute 'min_bandwidth' on <node> is an extension of openEuler's libvirt: the minimum bandwidth, MBMIN in "
        "resctrl [CT014]"
    )
    assert [text.partition(" is an extension of openEuler's libvirt: ")[0] for text in texts(found)] == [
        "<cache> with type 'priority'",
        "attribute 'min_bandwidth' on <node>",
        "attribute 'hardlimit' on <node>",
        "attribute 'priority' on <node>",
    ]
    assert [(finding.line, finding.column) for finding in found.findings] == [(7, 31), (10, 35), (10, 54), (10, 68)]
    assert {finding.severity for finding in found.findings} == {"error"}


@EITHER_ENGINE
def test_in_the_xml_of_a_running_guest_they_are_warnings_and_the_rest_is_requested(engine: Engine) -> None:
    found, plain = loaded(OPENEULER, engine, live=True), loaded(PLAIN, engine)
    assert {(finding.rule, finding.severity) for finding in found.findings} == {("CT157", "warning")}
    assert len(found.findings) == len(EXTENSIONS)
    assert found.domain is not None
    assert plain.domain is not None
    assert plain.findings == ()
    (group,), (without,) = found.domain.groups, plain.domain.groups
    assert [c.size for c in group.caches] == [c.size for c in without.caches] == [Size(4 << 20)]
    assert [n.bandwidth for n in group.nodes] == [n.bandwidth for n in without.nodes] == [Rate(60)]


@EITHER_ENGINE
@pytest.mark.parametrize("extension", EXTENSIONS, ids=lambda each: each.shown)
def test_each_extension_alone_is_found(extension: Extension, engine: Engine) -> None:
    for live, rule in ((False, "CT014"), (True, "CT157")):
        found = loaded(only(extension), engine, live=live)
        assert [finding.rule for finding in found.findings] == [rule]
        assert extension.shown in texts(found)[0]
        assert (found.domain is not None) == live


@EITHER_ENGINE
@pytest.mark.parametrize(
    ("old", "new", "rule"),
    [
        ("level='3' type='both'", "levl='3' type='both'", "CT003"),
        ("min_bandwidth", "xmlns:x='urn:x' x:min_bandwidth", "CT003"),
        ("hardlimit", "hard_limit", "CT003"),
        ("'priority' size='2'/>", "'priority' size='two'/>", "CT005"),
        ("'priority' size='2'/>", "'priority'/>", "CT004"),
        ("'priority' size='2'/>", "'priorities' size='2'/>", "CT005"),
        ("vcpus='0-15'>\n      <node", "vcpus='0-15'>text<node", "CT007"),
    ],
)
def test_any_other_fault_in_the_xml_of_a_running_guest_is_still_an_error(
    old: str, new: str, rule: str, engine: Engine
) -> None:
    assert old in OPENEULER
    found = loaded(OPENEULER.replace(old, new, 1), engine, live=True)
    assert found.domain is None
    assert {finding.rule for finding in found.findings if finding.severity == "error"} == {rule}


@EITHER_ENGINE
def test_what_the_engine_refuses_besides_the_extensions_is_not_accepted(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(diagnosis, "_text_of", lambda _element: "")  # a fault that the diagnosis does not know
    found = loaded(OPENEULER.replace("<memorytune vcpus='0-15'>", "<memorytune vcpus='0-15'>half"), engine, live=True)
    assert found.domain is None
    assert "CT009" in {finding.rule for finding in found.findings}


def test_a_domain_without_extensions_is_the_same_live_or_not() -> None:
    live, file = load(PLAIN.encode(), "ds.xml", live=True), load(PLAIN.encode(), "ds.xml")
    assert msgspec.json.encode(live.domain) == msgspec.json.encode(file.domain)
