"""--libvirt VERSION: what each version refuses or ignores."""

import pytest

from cachetune.domain import load, parse_version
from cachetune.errors import UnknownVersionError

CACHE = "<cache id='0' level='3' type='both' size='3' unit='MiB'/>"
CACHE_2 = "<cache id='0' level='2' type='both' size='3' unit='MiB'/>"
ENERGY = "<energytune vcpus='0'><monitor vcpus='0'/></energytune>"
WHOLE = f"<cachetune>{CACHE}</cachetune>"
CASES = [
    (
        WHOLE,
        {"9.0": "CT301", "10.8": "CT301", "11.3": "CT301", "12.4": "CT301", "12.7.0": "CT301", "12.8": "", "13.0": ""},
    ),
    (f"<cachetune vcpus='0'>{CACHE}<monitor level='3'/></cachetune>", {"12.4": "CT301", "12.8.0": ""}),
    (ENERGY, {"9.0": "CT302", "12.3": "CT302", "12.4": "", "12.8": ""}),
    ("<energytune><monitor/></energytune>", {"9.0": "CT302", "12.4": "CT301 CT301", "12.8": ""}),
    (
        "<memorytune vcpus='0'><node id='0' bandwidth='101'/></memorytune>",
        {"9.0": "CT303", "10.7": "CT303", "10.8": ""},
    ),
    ("<memorytune vcpus='0'><node id='0' bandwidth='100'/></memorytune>", {"9.0": ""}),
    (f"<cachetune vcpus='0'>{CACHE_2}</cachetune>", {"10.7": "CT304", "10.8": ""}),
    (f"<cachetune vcpus='0'>{CACHE}<monitor vcpus='0'/></cachetune>", {"9.0": "CT305", "12.8": "CT305"}),
    ("<cachetune vcpus='0'/>", {"9.0": "CT306", "12.8": "CT306"}),
    ("<memorytune vcpus='0' id='x'><node id='0' bandwidth='10'/></memorytune>", {"9.0": "CT307", "12.8": "CT307"}),
    (f"<cachetune vcpus='0' id='x'>{CACHE}</cachetune>", {"9.0": "", "12.8": ""}),
]


def rules(inner: str, version: str, kind: str = "kvm") -> str:
    text = f"<domain type='{kind}'><vcpu>4</vcpu><cputune>{inner}</cputune></domain>"
    found = load(text.encode(), "guest.xml", libvirt=version).findings
    return " ".join(finding.rule for finding in found if finding.rule.startswith("CT3"))


@pytest.mark.parametrize(
    ("inner", "version", "expected"), [(inner, *item) for inner, versions in CASES for item in versions.items()]
)
def test_each_version_has_its_findings(inner: str, version: str, expected: str) -> None:
    assert rules(inner, version) == expected


def test_without_a_version_there_are_no_version_findings() -> None:
    for inner, _ in CASES:
        found = load(f"<domain><vcpu>4</vcpu><cputune>{inner}</cputune></domain>".encode(), "guest.xml").findings
        assert not any(finding.rule.startswith("CT3") for finding in found)


def test_only_kvm_guests_can_have_groups() -> None:
    assert rules(f"<cachetune vcpus='0'>{CACHE}</cachetune>", "12.8", "qemu") == "CT308"
    assert rules("<cachetune vcpus='0'/>", "12.8", "qemu") == "CT306"
    assert rules(ENERGY, "12.4", "qemu") == "CT308"
    assert rules(ENERGY, "9.0", "qemu") == "CT302"


def test_a_schema_violation_is_reported_only_once() -> None:
    assert rules("<cachetune vcpu='0'><cache id='0'/><monitor lvl='3'/></cachetune>", "9.0") == ""


@pytest.mark.parametrize("text", ["", "12", "x.y", "12.8.0.1", "8.10", "-1.0", "12.8-1", "9999.0"])
def test_an_invalid_or_too_old_version_is_an_input_error(text: str) -> None:
    with pytest.raises(UnknownVersionError):
        parse_version(text)
