"""What only cachetune has of a <cache> or <node>: its meaning, where libvirt would stumble, and that print keeps it."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachetune.domain import format_cputune, load
from cachetune.domain.model import Domain
from cachetune.units import Rate, Size


def cache(size: str, unit: str | None, cache_id: int = 0) -> str:
    attribute = "" if unit is None else f" unit='{unit}'"
    return f"<cachetune vcpus='0'><cache id='{cache_id}' level='3' type='both' size='{size}'{attribute}/></cachetune>"


def node(bandwidth: str, unit: str | None, resource: str | None = None) -> str:
    values = {"unit": unit, "resource": resource}
    attributes = "".join(f" {name}='{value}'" for name, value in values.items() if value is not None)
    return f"<memorytune vcpus='0'><node id='0' bandwidth='{bandwidth}'{attributes}/></memorytune>"


def found(inner: str, libvirt: str | None = None, *, tuning: bool = False) -> list[str]:
    """The findings, "rule: message", of domain XML or of a tuning file."""
    whole = f"<domain type='kvm'><name>web</name><vcpu>4</vcpu><cputune>{inner}</cputune></domain>"
    text = f"<cputune>{inner}</cputune>" if tuning else whole
    return [f"{f.rule}: {f.message}" for f in load(text.encode(), "web.xml", libvirt=libvirt).findings]


def tuning(inner: str) -> Domain:
    loaded = load(f"<cputune>{inner}</cputune>".encode(), "web.xml")
    assert loaded.domain is not None, loaded.findings
    assert loaded.findings == ()
    return loaded.domain


@pytest.mark.parametrize(
    ("size", "unit", "meant"),
    [
        ("3", "ways", Size(3, "ways")),
        ("3.0", "ways", Size(3, "ways")),
        ("30", "%", Size(30, "%")),
        ("12.5", "%", Size(Decimal("12.5"), "%")),
        ("6", "MiB", Size(6 << 20)),
    ],
)
def test_a_tuning_file_may_have_every_unit_of_a_cache(size: str, unit: str, meant: Size) -> None:
    assert tuning(cache(size, unit)).groups[0].caches[0].size == meant


@pytest.mark.parametrize(
    ("bandwidth", "unit", "meant"),
    [
        ("50", None, Rate(50)),
        ("50", "%", Rate(50, "%")),
        ("500", "MiB/s", Rate(500, "MiB/s")),
        ("6.25", "GB/s", Rate(Decimal("6.25"), "GB/s")),
    ],
)
def test_a_tuning_file_may_have_every_unit_of_a_bandwidth(bandwidth: str, unit: str | None, meant: Rate) -> None:
    assert tuning(node(bandwidth, unit)).groups[0].nodes[0].bandwidth == meant


@pytest.mark.parametrize(
    ("inner", "expected"),
    [
        (cache("3", "ways"), "CT160: libvirt refuses unit='ways' on <cache>"),
        (cache("30", "%"), "CT160: libvirt refuses unit='%' on <cache>"),
        (node("6.25", "GB/s"), "CT160: libvirt refuses bandwidth='6.25' on <node>"),
        (node("500", "MiB/s"), "CT161: libvirt ignores unit='MiB/s' on <node>"),
        (node("50", "%"), "CT161: libvirt ignores unit='%' on <node>"),
        (node("200", None, "SMBA"), "CT161: libvirt ignores resource='SMBA' on <node>"),
        (node("8", "GB/s", "SMBA"), "CT161: libvirt ignores unit='GB/s' and resource='SMBA' on <node>"),
        (node("8.5", "GB/s", "SMBA"), "CT160: libvirt refuses bandwidth='8.5' on <node>"),
    ],
)
def test_in_domain_xml_they_are_warned_of_and_in_a_tuning_file_not(inner: str, expected: str) -> None:
    assert found(inner) == [expected]
    assert found(inner, tuning=True) == []


@pytest.mark.parametrize("version", ["9.0", "12.8"])
@pytest.mark.parametrize("in_tuning_file", [False, True])
def test_with_a_version_of_libvirt_it_says_what_that_one_does(version: str, *, in_tuning_file: bool) -> None:
    expected = {
        cache("3", "ways"): f"CT309: libvirt {version} refuses unit='ways' on <cache>",
        node("6.25", "GB/s"): f"CT309: libvirt {version} refuses bandwidth='6.25' on <node>",
        node("50", "%"): f"CT310: libvirt {version} ignores unit='%' on <node> (`virsh define --validate` refuses it)",
        node("50", None, "SMBA"): f"CT310: libvirt {version} ignores resource='SMBA' on <node> "
        "(`virsh define --validate` refuses it)",
    }
    assert {inner: found(inner, version, tuning=in_tuning_file) for inner in expected} == {
        inner: [message] for inner, message in expected.items()
    }


@pytest.mark.parametrize(
    ("inner", "rule", "message", "hint"),
    [
        (cache("2.25", "MiB"), "CT116", "2.25 MiB has decimals", "write 2304 KiB"),
        (cache("3.0", None), "CT116", "3.0 KiB has decimals", "write 3 KiB"),
        (cache("0.3", "KiB"), "CT116", "0.3 KiB has decimals", "write 307 or 308 B"),
        (cache("2.5", "ways"), "CT116", "2.5 ways has decimals", "write 2 or 3 ways"),
        (node("6.25", None), "CT116", "6.25 has decimals", "write 6 or 7, or set a unit"),
        (node("50.0", None), "CT116", "50.0 has decimals", "write 50 or 51, or set a unit"),
        (cache("101", "%"), "CT117", "'101%' is more than 100%", "check the number and its unit"),
        (cache("100.5", "%"), "CT117", "'100.5%' is more than 100%", "check the number and its unit"),
        (node("101", "%"), "CT117", "'101%' is more than 100%", "check the number and its unit"),
        (node("9999999999.5", "GB/s"), "CT117", "'9999999999.5 GB/s' is more than 4294967295 GB/s", "check the number"),
    ],
)
def test_numbers_that_a_unit_does_not_have_are_errors_at_their_attribute(
    inner: str, rule: str, message: str, hint: str
) -> None:
    (finding,) = load(f"<cputune>{inner}</cputune>".encode(), "web.xml").findings
    assert (finding.rule, finding.message) == (rule, message)
    assert finding.hint.startswith(hint)
    assert finding.path.endswith(("/@size", "/@bandwidth"))


def test_nothing_of_a_cache_is_warned_of_in_any_unit() -> None:
    for unit in ("ways", "%"):
        assert found(cache("0", unit), tuning=True) == ["CT154: size 0 requests no cache at all"]


def nodes(*nodes: str) -> str:
    return f"<memorytune vcpus='0'>{''.join(f'<node id={each}/>' for each in nodes)}</memorytune>"


PERCENT, RATE, OTHER_RATE, PLAIN = (
    "'0' bandwidth='50' unit='%'",
    "'00' bandwidth='12.5' unit='GB/s'",
    "'0' bandwidth='500' unit='MiB/s'",
    "'0' bandwidth='50'",
)


@pytest.mark.parametrize("both", [(PERCENT, RATE), (RATE, PERCENT)])
def test_a_node_may_have_a_percentage_and_a_rate(both: tuple[str, str]) -> None:
    read = tuning(nodes(*both))
    assert {n.bandwidth for n in read.groups[0].nodes} == {Rate(50, "%"), Rate(Decimal("12.5"), "GB/s")}
    assert [n.node_id for n in read.groups[0].nodes] == [0, 0]
    again = load(format_cputune(read).encode(), "web.xml").domain
    assert again is not None
    assert [n.bandwidth for n in again.groups[0].nodes] == [n.bandwidth for n in read.groups[0].nodes]
    assert "CT160" in "".join(found(nodes(*both)))


def test_that_libvirt_refuses_a_second_node_is_reported_at_its_id() -> None:
    both = nodes(PERCENT, OTHER_RATE)
    assert found(both) == [
        "CT161: libvirt ignores unit='%' on <node>",
        "CT160: libvirt refuses a second <node> with id='0'",
    ]
    assert found(both, "12.8") == [
        "CT310: libvirt 12.8 ignores unit='%' on <node> (`virsh define --validate` refuses it)",
        "CT309: libvirt 12.8 refuses a second <node> with id='0'",
    ]


@pytest.mark.parametrize("both", [(PERCENT, PERCENT), (RATE, OTHER_RATE), (PLAIN, PERCENT), (RATE, PLAIN)])
def test_any_other_two_bandwidths_of_a_node_are_one_too_many(both: tuple[str, str]) -> None:
    (finding,) = load(f"<cputune>{nodes(*both)}</cputune>".encode(), "web.xml").findings
    assert finding.rule == "CT107"


SLOW = "'0' bandwidth='64' resource='SMBA'"


@pytest.mark.parametrize("both", [(PLAIN, SLOW), (SLOW, PLAIN), (SLOW, PERCENT), (RATE, SLOW)])
def test_a_node_may_have_a_bandwidth_of_each_resource(both: tuple[str, str]) -> None:
    read = tuning(nodes(*both))
    assert [(n.resource, n.node_id) for n in read.groups[0].nodes] == [("MB", 0), ("SMBA", 0)]
    assert "libvirt refuses a second <node> with id='0'" in "".join(found(nodes(*both)))


def test_two_bandwidths_of_one_resource_are_one_too_many_and_mb_is_the_default() -> None:
    for both in ((SLOW, SLOW), (PLAIN, PLAIN + " resource='MB'")):
        assert [line[:5] for line in found(nodes(*both), tuning=True)] == ["CT107"]


def test_an_unknown_resource_is_named_with_a_better_one() -> None:
    (finding,) = load(f"<cputune>{node('50', None, 'smba')}</cputune>".encode(), "web.xml").findings
    assert finding.message == "'smba' is not a valid resource for <node>; did you mean 'SMBA'?"


def test_a_node_that_violates_the_schema_is_no_second_one() -> None:
    assert [line[:5] for line in found(nodes("'x' bandwidth='1'", PERCENT))] == ["CT005", "CT161"]


def test_an_unknown_unit_of_a_bandwidth_is_named_with_a_better_one() -> None:
    (finding,) = load(f"<cputune>{node('50', 'mib/s')}</cputune>".encode(), "web.xml").findings
    assert (finding.rule, finding.message) == ("CT005", "'mib/s' is not a valid unit for <node>; did you mean 'MiB/s'?")
    assert finding.hint == "expected %, MiB/s or GB/s"


digits = st.integers(0, 100).map(str)
percent = digits | st.decimals(0, 100, places=2).map(str)
rates = st.decimals(0, 4_000_000_000, places=3).map(str)
any_cache = st.one_of(
    st.tuples(st.integers(0, 1 << 40).map(str), st.sampled_from(["B", "KiB", "MB"])),
    st.tuples(digits, st.just("ways")),
    st.tuples(percent, st.just("%")),
)
any_node = st.one_of(
    st.tuples(digits, st.none()),
    st.tuples(percent, st.just("%")),
    st.tuples(rates, st.sampled_from(["MiB/s", "GB/s"])),
)


@given(any_cache, any_node, st.sampled_from([None, "MB", "SMBA"]))
def test_printing_and_reading_again_gives_the_same_groups(
    size: tuple[str, str], rate: tuple[str, str | None], resource: str | None
) -> None:
    loaded = load(f"<cputune>{cache(*size)}{node(*rate, resource)}</cputune>".encode(), "web.xml").domain
    assert loaded is not None
    again = load(format_cputune(loaded).encode(), "web.xml").domain
    assert again is not None
    assert [c.size for g in again.groups for c in g.caches] == [c.size for g in loaded.groups for c in g.caches]
    read, printed = ([(n.resource, n.bandwidth) for g in each.groups for n in g.nodes] for each in (loaded, again))
    assert read == printed
    assert format_cputune(again) == format_cputune(loaded)
