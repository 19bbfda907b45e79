"""A tuning file is a <cputune> alone, checked like that of a domain; the guest's name is given elsewhere."""

import pytest
from lxml import etree

from cachetune.domain import Checker, Checks, format_cputune, load
from cachetune.domain.xml.schema import libvirt_schema, relaxng_says, schema_path, xsd_says
from cachetune.findings import Source

TUNING = """<cputune>
  <shares>2048</shares>
  <cachetune vcpus='0-1'>
    <cache id='0' level='3' type='both' size='3' unit='MiB'/>
    <monitor level='3' vcpus='1'/>
  </cachetune>
</cputune>"""


def test_a_tuning_file_has_the_same_groups_as_the_domain() -> None:
    alone = load(TUNING.encode(), "").domain
    whole = load(f"<domain><name>web</name><vcpu>4</vcpu>{TUNING}</domain>".encode(), "").domain
    assert alone is not None
    assert whole is not None
    for one, other in zip(alone.groups, whole.groups, strict=True):
        assert (one.vcpus, one.id, [c.size.number for c in one.caches], [m.vcpus for m in one.monitors]) == (
            (other.vcpus, other.id, [c.size.number for c in other.caches], [m.vcpus for m in other.monitors])
        )
    assert (alone.name, alone.uuid, alone.id) == ("", None, None)


def test_values_of_a_tuning_file_have_their_places() -> None:
    domain = load(TUNING.encode(), "web.xml").domain
    assert domain is not None
    assert domain.groups[0].at == Source(3, 14, "/cputune/cachetune[1]/@vcpus", "web.xml")


@pytest.mark.parametrize(("vcpus", "rules"), [(None, []), (4, []), (1, ["CT150"])])
def test_the_guest_determines_the_vcpu_count(vcpus: int | None, rules: list[str]) -> None:
    text = "<cputune><cachetune vcpus='0-1'><monitor level='3'/></cachetune></cputune>"
    loaded = load(text.encode(), "web.xml", vcpus=vcpus)
    assert [finding.rule for finding in loaded.findings] == rules


def test_a_fault_in_a_tuning_file_has_its_place() -> None:
    (finding,) = load(TUNING.replace("level='3' type", "levl='3' type").encode(), "web.xml").findings
    assert (finding.rule, finding.line, finding.column) == ("CT003", 4, 19)
    assert finding.document == "web.xml"


@pytest.mark.parametrize(
    "text", [TUNING, TUNING.replace("type='both'", "type='all'"), "<cputune/>", "<cputune>x</cputune>"]
)
def test_both_engines_agree_on_a_tuning_file(text: str) -> None:
    root = etree.fromstring(text)
    sound = libvirt_schema(schema_path("domain.rng")).validate(root)
    assert [bool(relaxng_says(root)), bool(xsd_says(root))] == [not sound, not sound]


def test_a_cachetune_element_alone_is_not_a_tuning_file() -> None:
    (finding,) = load(b"<cachetune vcpus='0'><monitor level='3'/></cachetune>", "").findings
    assert finding.rule == "CT002"


def test_a_valid_tuning_file_does_not_make_another_valid() -> None:
    checker = Checker(Checks())
    assert checker.findings(TUNING.encode()) == ()
    assert checker.findings(TUNING.replace("'3' unit", "'0' unit").encode()) != ()


def test_too_many_elements_are_refused_as_in_a_domain() -> None:
    crowd = "<cachetune vcpus='0'>" + "<monitor level='3'/>" * 10_001 + "</cachetune>"
    (finding,) = load(f"<cputune>{crowd}</cputune>".encode(), "").findings
    assert finding.rule == "CT010"


EXCLUSIVE = TUNING.replace("vcpus='0-1'", "vcpus='0-1' mode='exclusive'")


def test_a_group_can_be_requested_as_exclusive() -> None:
    loaded = load(EXCLUSIVE.encode(), "web.xml")
    assert loaded.domain is not None
    assert (loaded.domain.groups[0].exclusive, loaded.findings) == (True, ())
    assert not load(TUNING.encode(), "web.xml").domain.groups[0].exclusive  # type: ignore[union-attr]


def test_shareable_is_what_a_group_is_without_a_mode() -> None:
    loaded = load(EXCLUSIVE.replace("exclusive", "shareable").encode(), "web.xml")
    assert loaded.domain is not None
    assert not loaded.domain.groups[0].exclusive
    assert "mode" not in format_cputune(loaded.domain)


def test_an_exclusive_group_is_formatted_as_it_is_read() -> None:
    domain = load(EXCLUSIVE.encode(), "web.xml").domain
    assert domain is not None
    text = format_cputune(domain)
    assert "<cachetune vcpus='0-1' mode='exclusive'>" in text
    again = load(text.encode(), "web.xml").domain
    assert again is not None
    assert format_cputune(again) == text


@pytest.mark.parametrize("libvirt", [None, "12.8"])
def test_domain_xml_with_a_mode_is_warned_of_and_a_tuning_file_only_for_libvirt(libvirt: str | None) -> None:
    domain = f"<domain type='kvm'><vcpu>4</vcpu>{EXCLUSIVE}</domain>"
    (finding,) = load(domain.encode(), "web.xml", libvirt=libvirt).findings
    assert (finding.rule, finding.severity, finding.path.rpartition("/")[2]) == ("CT170", "warning", "@mode")
    found = load(EXCLUSIVE.encode(), "web.xml", libvirt=libvirt).findings
    assert [each.rule for each in found] == (["CT170"] if libvirt else [])


def test_only_a_cachetune_has_a_mode() -> None:
    text = "<cputune><memorytune vcpus='0' mode='exclusive'><node id='0' bandwidth='50'/></memorytune></cputune>"
    (finding,) = load(text.encode(), "web.xml").findings
    assert (finding.rule, finding.path.rpartition("/")[2]) == ("CT003", "@mode")


def test_an_invalid_mode_is_refused_once() -> None:
    text = EXCLUSIVE.replace("exclusive", "exclusivee")
    (finding,) = load(f"<domain type='kvm'><vcpu>4</vcpu>{text}</domain>".encode(), "web.xml").findings
    assert finding.rule == "CT005"
    assert "did you mean 'exclusive'?" in finding.message
