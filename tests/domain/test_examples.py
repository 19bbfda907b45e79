"""Our examples of the 23 cases in libvirt's parser tests: same verdict, same canonical form."""

from pathlib import Path

import pytest

from cachetune.domain import format_cputune, load
from cachetune.findings import Finding

EXAMPLES = Path(__file__).parents[2] / "examples"
DOMAINS = EXAMPLES / "domains"
VERSIONS = ("9.0", "11.3")
OLD_OK, OLD_FAILS, OLD_IGNORES = "", "CT301", "CT302"

# name: the canonical form (same or different) or the broken rule, and the findings for libvirt 9.0 and 11.3
SITUATIONS = {
    "cachetune": ("same", OLD_OK),
    "cachetune-small": ("same", OLD_OK),
    "cachetune-cdp": ("same", OLD_OK),
    "cachetune-extra-tunes": ("different", OLD_OK),
    "cachetune-colliding-allocs": ("CT105", OLD_OK),
    "cachetune-colliding-types": ("CT105", OLD_OK),
    "cachetune-colliding-tunes": ("CT102", OLD_OK),
    "cachetune-colliding-monitor": ("CT112", OLD_OK),
    "cachetune-monitor-empty-vcpus": ("CT109", OLD_OK),
    "cachetune-monitor-inherit-alloc": ("different", OLD_FAILS),
    "cachetune-wholeprocess-duplicate": ("CT102", OLD_FAILS),
    "cachetune-wholeprocess-monitor-duplicate": ("CT111", OLD_FAILS),
    "cachetune-wholeprocess-monitors": ("same", OLD_FAILS),
    "energytune": ("same", OLD_IGNORES),
    "energytune-wholeprocess": ("same", OLD_IGNORES),
    "energytune-colliding-monitor": ("CT110", OLD_IGNORES),
    "memorytune": ("different", OLD_OK),
    "memorytune-wholeprocess": ("same", OLD_FAILS),
    "memorytune-colliding-allocs": ("CT107", OLD_OK),
    "memorytune-colliding-cachetune": ("CT103", OLD_OK),
    "resctrl-wholeprocess-alloc-monitor": ("same", OLD_FAILS),
    "resctrl-wholeprocess-monitors": ("same", OLD_FAILS),
    "resctrl-wholeprocess-layering": ("CT104", OLD_FAILS),
}


def errors(findings: tuple[Finding, ...]) -> set[str]:
    return {finding.rule for finding in findings if finding.severity == "error"}


def cputune_of(text: str) -> str:
    """Return the <cputune> of a document, indented as in the canonical form."""
    lines = text[text.index("  <cputune>") : text.index("</cputune>")].splitlines()
    return "\n".join([*(line[2:] for line in lines if line.strip()), "</cputune>", ""])


def test_every_situation_has_an_example() -> None:
    assert {path.stem for path in DOMAINS.iterdir()} == set(SITUATIONS)


@pytest.mark.parametrize(("name", "expected"), [(name, row[0]) for name, row in SITUATIONS.items()])
def test_verdict_and_canonical_form_match_libvirt(name: str, expected: str) -> None:
    data = (DOMAINS / f"{name}.xml").read_bytes()
    loaded = load(data, name)
    if loaded.domain is None:
        assert errors(loaded.findings) == {expected}
    else:
        same = format_cputune(loaded.domain) == cputune_of(data.decode())
        assert ("same" if same else "different") == expected


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(("name", "situation"), SITUATIONS.items())
def test_older_versions_give_the_expected_findings(name: str, situation: tuple[str, str], version: str) -> None:
    now, older = situation
    loaded = load((DOMAINS / f"{name}.xml").read_bytes(), name, libvirt=version)
    expected = {now} & {finding.rule for finding in load((DOMAINS / f"{name}.xml").read_bytes(), name).findings}
    assert errors(loaded.findings) == expected | ({older} if older == OLD_FAILS else set())
    assert (older == OLD_IGNORES) <= (OLD_IGNORES in {finding.rule for finding in loaded.findings})


CANONICAL = {
    "cachetune-extra-tunes": """<cputune>
  <cachetune vcpus='0-1'>
    <cache id='0' level='3' type='both' size='12' unit='MiB'/>
    <cache id='1' level='3' type='both' size='6' unit='MiB'/>
  </cachetune>
</cputune>
""",
    "cachetune-monitor-inherit-alloc": """<cputune>
  <cachetune vcpus='0-1'>
    <cache id='0' level='3' type='both' size='6' unit='MiB'/>
    <monitor level='3' vcpus='0-1'/>
  </cachetune>
</cputune>
""",
    "memorytune": """<cputune>
  <memorytune vcpus='0-1'>
    <node id='0' bandwidth='20'/>
    <node id='1' bandwidth='30'/>
    <monitor vcpus='0-1'/>
  </memorytune>
  <memorytune vcpus='3'>
    <node id='0' bandwidth='50'/>
  </memorytune>
</cputune>
""",
}


@pytest.mark.parametrize(("name", "canonical"), CANONICAL.items())
def test_the_canonical_form_where_it_differs(name: str, canonical: str) -> None:
    domain = load((DOMAINS / f"{name}.xml").read_bytes(), name).domain
    assert domain is not None
    assert format_cputune(domain) == canonical


@pytest.mark.parametrize("name", [name for name, row in SITUATIONS.items() if not row[0].startswith("CT")])
def test_the_canonical_form_is_stable(name: str) -> None:
    data = (DOMAINS / f"{name}.xml").read_bytes()
    domain = load(data, name).domain
    assert domain is not None
    text = format_cputune(domain)
    live = "" if domain.id is None else f" id='{domain.id}'"
    again = load(f"<domain type='kvm'{live}><vcpu>{domain.vcpus}</vcpu>{text}</domain>".encode(), name)
    assert again.domain is not None
    assert format_cputune(again.domain) == text
    assert again.findings == ()


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.xml")), ids=lambda path: path.name)
def test_the_examples_for_users_have_no_findings(path: Path) -> None:
    assert load(path.read_bytes(), path.name).findings == ()


@pytest.mark.parametrize("name", ["proposal", "proposal-monitor"])
def test_the_proposals_monitors_without_level_are_read_and_refused_only_by_libvirt(name: str) -> None:
    data = (EXAMPLES / f"{name}.xml").read_bytes()
    domain = load(data, name).domain
    assert domain is not None
    assert all(monitor.resource == "cache" for group in domain.groups for monitor in group.monitors)
    assert errors(load(data, name, libvirt="12.8").findings) == {"CT305"}


def test_the_typical_guest_fits_on_the_host_that_it_names() -> None:
    from cachetune.host.read import read_host
    from cachetune.plan import Options, plan
    from cachetune.sim import SimulatedResctrl, load_profile

    domain = load((EXAMPLES / "guest.xml").read_bytes(), "guest.xml").domain
    assert domain is not None
    host = read_host(SimulatedResctrl(load_profile("icelake")))
    made = plan(domain, host, None, Options(shrink_default=True))
    assert made.summary.control_groups_created == 2
