"""Checking many documents in a row: only documents that were valid before are skipped."""

import pytest

from cachetune.domain import Checker, Checks, check, load


def document(name: str = "web", vcpus: int = 4, kind: str = "kvm", size: int = 3) -> bytes:
    cache = f"<cache id='0' level='3' type='both' size='{size}' unit='MiB'/>"
    return (
        f"<domain type='{kind}'><name>{name}</name><vcpu>{vcpus}</vcpu>"
        f"<cputune><cachetune vcpus='2-3'>{cache}</cachetune></cputune></domain>"
    ).encode()


def rules(checker: Checker, data: bytes) -> list[str]:
    return [finding.rule for finding in checker.findings(data)]


@pytest.fixture
def examined(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the names of the guests whose documents went through all layers."""
    names: list[str] = []
    real = check.examine

    def spy(root, checks, problems):
        names.append(root.findtext("name"))
        return real(root, checks, problems)

    monkeypatch.setattr(check, "examine", spy)
    return names


def test_guests_from_one_template_are_checked_once(examined: list[str]) -> None:
    checker = Checker(Checks())
    for name in ("a", "b", "c"):
        assert rules(checker, document(name)) == []
    assert examined == ["a"]


def test_documents_with_findings_are_checked_every_time(examined: list[str]) -> None:
    checker = Checker(Checks())
    for name in ("a", "b"):
        assert rules(checker, document(name, vcpus=3)) == ["CT150"]
    assert examined == ["a", "b"]


def test_a_different_vcpu_count_is_checked_again() -> None:
    checker = Checker(Checks())
    assert [rules(checker, document(vcpus=count)) for count in (4, 3, 2, 4)] == [[], ["CT150"], ["CT151"], []]


def test_a_different_domain_type_is_checked_again() -> None:
    checker = Checker(Checks(libvirt=(12, 8)))
    assert [rules(checker, document(kind=kind)) for kind in ("kvm", "qemu", "kvm")] == [[], ["CT308"], []]


def test_nothing_is_remembered_with_libvirts_schema(tmp_path) -> None:
    schema = tmp_path / "domain.rng"
    schema.write_text(
        "<element name='domain' xmlns='http://relaxng.org/ns/structure/1.0'><attribute name='type'/>"
        "<element name='name'>"
        "<value>web</value></element><element name='vcpu'><text/></element><element name='cputune'><element "
        "name='cachetune'><attribute name='vcpus'/><element name='cache'><zeroOrMore><attribute><anyName/></attribute>"
        "</zeroOrMore></element></element></element></element>"
    )
    checker = Checker(Checks(libvirt_schema=str(schema)))
    assert [rules(checker, document(name)) for name in ("web", "db", "web")] == [[], ["CT012"], []]


def test_remembering_ends_if_nothing_repeats(examined: list[str]) -> None:
    checker = Checker(Checks())
    for size in range(1, 200):
        assert rules(checker, document(size=size)) == []
    examined.clear()
    assert rules(checker, document("again", size=1)) == []
    assert examined == ["again"]


def test_the_message_about_a_second_energy_monitor_has_the_right_article() -> None:
    text = b"<domain><cputune><energytune><monitor/><monitor/></energytune></cputune></domain>"
    (finding,) = load(text, "guest.xml").findings
    assert finding.message == "the whole process already has an energy monitor: the <monitor> on line 1"
