"""The requests of a document as values: groups, identifiers, order, places."""

import pytest

from cachetune.domain import load
from cachetune.domain.model import Domain, GroupRequest
from cachetune.findings import Source
from cachetune.units import Size


def read(inner: str, *, attributes: str = "type='kvm'", vcpu: str = "<vcpu>4</vcpu>") -> Domain:
    text = f"<domain {attributes}><name>web</name>{vcpu}<cputune>{inner}</cputune></domain>"
    loaded = load(text.encode(), "web.xml")
    assert loaded.domain is not None, loaded.findings
    return loaded.domain


def only_group(inner: str) -> GroupRequest:
    (group,) = read(inner).groups
    return group


def cache(cache_id: int, kind: str = "both", level: int = 3, size: str = "size='1' unit='MiB'") -> str:
    return f"<cache id='{cache_id}' level='{level}' type='{kind}' {size}/>"


def test_a_domain_has_its_name_uuid_type_and_vcpus() -> None:
    text = "<domain type='qemu'><name>web</name><uuid>\n 6a0d5c2e </uuid><vcpu current='1'>8</vcpu></domain>"
    domain = load(text.encode(), "web.xml").domain
    assert domain == Domain(name="web", uuid="6a0d5c2e", id=None, type="qemu", vcpus=8, groups=())


@pytest.mark.parametrize(
    ("vcpu", "count"),
    [("", 1), ("<vcpu> +08</vcpu>", 8), ("<vcpu><x>3</x></vcpu>", 3), ("<vcpu>2</vcpu><vcpu>9</vcpu>", 2)],
)
def test_the_vcpu_count_is_read_as_in_libvirt(vcpu: str, count: int) -> None:
    assert read("", vcpu=vcpu).vcpus == count


def test_elements_for_the_same_vcpus_are_one_group() -> None:
    group = only_group(
        "<memorytune vcpus='0,1'><node id='1' bandwidth='20'/><node id='0' bandwidth='10'/></memorytune>"
        f"<cachetune vcpus='0-1'>{cache(0)}<monitor level='3' vcpus='1'/></cachetune>"
        "<energytune vcpus='1,0'><monitor vcpus='0-1'/></energytune>"
        "<memorytune vcpus='0-1'><node id='7' bandwidth='30'/></memorytune>"
    )
    assert group.vcpus == {0, 1}
    assert group.id == "vcpus_0-1"
    assert [(node.node_id, node.bandwidth.number) for node in group.nodes] == [(0, 10), (1, 20), (7, 30)]
    assert [(monitor.resource, monitor.id) for monitor in group.monitors] == [
        ("cache", "vcpus_1"),
        ("energy", "vcpus_0-1"),
    ]


def test_caches_are_sorted_by_level_type_and_id() -> None:
    group = only_group(
        "<cachetune vcpus='0'>"
        + cache(1, "data")
        + cache(0, "code")
        + cache(0, "data")
        + cache(5, level=2)
        + "</cachetune>"
    )
    found = [(cache.level, cache.type, cache.cache_id) for cache in group.caches]
    assert found == [(2, "both", 5), (3, "code", 0), (3, "data", 0), (3, "data", 1)]


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ("size='3' unit='MiB'", 3 << 20),
        ("size='3'", 3 << 10),
        ("size='3' unit='B'", 3),
        ("size='3' unit='kb'", 3000),
        ("size='000000000000000000000000000000000000000000000000000003' unit='G'", 3 << 30),
        ("size='15' unit='EiB'", 15 << 60),
        ("size='0' unit='MiB'", 0),
    ],
)
def test_sizes_are_bytes(size: str, expected: int) -> None:
    assert only_group(f"<cachetune vcpus='0'>{cache(0, size=size)}</cachetune>").caches[0].size == Size(expected)


def test_a_group_of_the_whole_process_has_no_vcpus_and_no_id() -> None:
    group = only_group(f"<cachetune>{cache(0)}<monitor level='3'/></cachetune>")
    assert (group.vcpus, group.id) == (None, None)
    assert [(monitor.vcpus, monitor.id) for monitor in group.monitors] == [(None, None)]


def test_a_monitor_shares_the_groups_identifier_only_after_an_allocation() -> None:
    live = read(
        "<cachetune vcpus='0-1' id='mine'><monitor level='3'/></cachetune>"
        "<memorytune vcpus='0-1'><node id='0' bandwidth='10'/><monitor/></memorytune>",
        attributes="type='kvm' id='7'",
    )
    (group,) = live.groups
    assert live.id == 7
    assert group.id == "mine"
    assert [(monitor.resource, monitor.id) for monitor in group.monitors] == [
        ("cache", "vcpus_0-1"),
        ("memory", "mine"),
    ]


@pytest.mark.parametrize("attributes", ["type='kvm'", "type='kvm' id='-1'", "type='kvm' id='x'"])
def test_identifiers_are_read_only_from_the_xml_of_a_running_guest(attributes: str) -> None:
    domain = read(f"<cachetune vcpus='0' id='mine'>{cache(0)}</cachetune>", attributes=attributes)
    assert domain.id is None
    assert domain.groups[0].id == "vcpus_0"


def test_a_group_for_nonexistent_vcpus_is_dropped_without_checking_its_content() -> None:
    domain = read(f"<cachetune vcpus='8-9'>{cache(0)}{cache(0)}<monitor level='1'/></cachetune>")
    assert domain.groups == ()


def test_elements_without_children_are_dropped_and_conflict_with_nothing() -> None:
    domain = read(f"<cachetune vcpus='0'/><cachetune vcpus='0-1'>{cache(0)}</cachetune>")
    assert [group.id for group in domain.groups] == ["vcpus_0-1"]


def test_every_value_has_its_place() -> None:
    text = """<domain type='kvm'>
  <name>web</name>
  <vcpu>4</vcpu>
  <cputune>
    <cachetune vcpus='0-1'>
      <cache id='0' level='3' type='both' size='1' unit='MiB'/>
      <cache id='1' level='3' type='both'
             size='1' unit='MiB'/>
      <monitor level='3'/>
    </cachetune>
    <memorytune vcpus='0-1'>
      <node id='0' bandwidth='10'/>
    </memorytune>
  </cputune>
</domain>"""
    domain = load(text.encode(), "web.xml").domain
    assert domain is not None
    (group,) = domain.groups
    base = "/domain/cputune/cachetune[1]"
    assert group.at == Source(5, 16, f"{base}/@vcpus", "web.xml")
    assert [cache.at for cache in group.caches] == [
        Source(6, 43, f"{base}/cache[1]/@size", "web.xml"),
        Source(8, 14, f"{base}/cache[2]/@size", "web.xml"),
    ]
    (node,) = group.nodes
    assert node.at == Source(12, 20, "/domain/cputune/memorytune[1]/node[1]/@bandwidth", "web.xml")
    first = group.caches[0]
    assert [(at.column, at.path.rpartition("/")[2]) for at in (first.id_at, first.level_at, first.type_at)] == [
        (14, "@id"),
        (21, "@level"),
        (31, "@type"),
    ]
    assert node.id_at == Source(12, 13, "/domain/cputune/memorytune[1]/node[1]/@id", "web.xml")
    assert [monitor.at for monitor in group.monitors] == [Source(9, 7, f"{base}/monitor[1]", "web.xml")]


def test_elements_with_our_names_outside_cputune_are_ignored() -> None:
    text = (
        "<domain xmlns:x='urn:x'><cachetune nonsense=''/><metadata><cputune><cachetune vcpus='!'/></cputune></metadata>"
        "<cputune><x:cachetune y=''/><vcpupin><memorytune/></vcpupin></cputune>"
        "<x:cputune><energytune/></x:cputune></domain>"
    )
    loaded = load(text.encode(), "web.xml")
    assert loaded.findings == ()
    assert loaded.domain is not None
    assert loaded.domain.groups == ()


CACHE = cache(0)
FINER_POINTS = {
    "with an allocation a monitor of all vCPUs may overlap one of some": (
        f"<cachetune vcpus='0-1'>{CACHE}<monitor level='3' vcpus='0-1'/><monitor level='3' vcpus='0'/></cachetune>",
        True,
    ),
    "without one it does not": (
        "<cachetune vcpus='0-1'><monitor level='3' vcpus='0-1'/><monitor level='3' vcpus='0'/></cachetune>",
        False,
    ),
    "caches count at any position in the element": (
        f"<cachetune vcpus='0-1'><monitor level='3' vcpus='0-1'/><monitor level='3' vcpus='0'/>{CACHE}</cachetune>",
        True,
    ),
    "equal vCPUs are fine for monitors of different kinds": (
        (
            "<cachetune vcpus='0-1'><monitor level='3' vcpus='0'/></cachetune>"
            "<memorytune vcpus='0-1'><monitor vcpus='0'/></memorytune>"
        ),
        True,
    ),
    "overlap counts across kinds": (
        (
            "<cachetune vcpus='0-2'><monitor level='3' vcpus='0-1'/></cachetune>"
            "<memorytune vcpus='0-2'><monitor vcpus='1-2'/></memorytune>"
        ),
        False,
    ),
    "the allocation of a later memorytune allows what the cachetune alone could not have": (
        (
            "<cachetune vcpus='0-1'><monitor level='3' vcpus='0'/></cachetune>"
            "<memorytune vcpus='0-1'><node id='0' bandwidth='10'/><monitor vcpus='0-1'/></memorytune>"
        ),
        True,
    ),
    "under a whole-process allocation explicit monitors must be apart": (
        f"<cachetune>{CACHE}<monitor level='3' vcpus='0-1'/><monitor level='3' vcpus='1'/></cachetune>",
        False,
    ),
    "and may be": (
        f"<cachetune>{CACHE}<monitor level='3' vcpus='0-1'/><monitor level='3' vcpus='2'/></cachetune>",
        True,
    ),
    "two memorytunes for the whole process merge": (
        "<memorytune><node id='0' bandwidth='1'/></memorytune><memorytune><node id='1' bandwidth='1'/></memorytune>",
        True,
    ),
    "an element without children must not clash with one before it": (
        f"<cachetune vcpus='0-1'>{CACHE}</cachetune><cachetune vcpus='1-2'/>",
        False,
    ),
}


@pytest.mark.parametrize(("inner", "kept"), FINER_POINTS.values(), ids=list(FINER_POINTS))
def test_details_of_libvirts_verdict(inner: str, kept: bool) -> None:
    text = f"<domain type='kvm'><vcpu>4</vcpu><cputune>{inner}</cputune></domain>"
    assert (load(text.encode(), "web.xml").domain is not None) == kept


PINNED = """<domain type='kvm'><name>web</name>{vcpu}<cputune>
<vcpupin vcpu='0' cpuset='2'/><vcpupin vcpu='1' cpuset='0-3,^2'/><vcpupin vcpu='2' cpuset='x'/>
<vcpupin vcpu='0' cpuset='9'/>
</cputune></domain>"""


def test_each_vcpu_has_the_cpus_of_its_vcpupin_or_else_those_of_vcpu() -> None:
    domain = load(PINNED.format(vcpu="<vcpu cpuset='0-17'>4</vcpu>").encode(), "web.xml").domain
    assert domain is not None
    assert [domain.cpus_of(vcpu) for vcpu in range(4)] == ["2", "0-1,3", "0-17", "0-17"]


@pytest.mark.parametrize("vcpu", ["<vcpu>4</vcpu>", "<vcpu placement='auto' cpuset='0-17'>4</vcpu>", ""])
def test_a_vcpu_without_a_pin_can_run_anywhere(vcpu: str) -> None:
    domain = load(PINNED.format(vcpu=vcpu).encode(), "web.xml").domain
    assert domain is not None
    assert (domain.cpus_of(0), domain.cpus_of(3)) == ("2", "")


def test_the_places_of_attributes_are_right_in_any_order_on_one_long_line() -> None:
    caches = "".join(f"<!--\u00fc--><cache unit='MiB' type='both' size='1' id='{i}' level='3'/>" for i in range(5))
    text = f"<cputune><cachetune vcpus='0-1'>{caches}</cachetune></cputune>"
    domain = load(text.encode(), "web.xml").domain
    assert domain is not None
    for number, request in enumerate(domain.groups[0].caches):
        start = text.index(f"id='{number}'")
        assert request.id_at is not None
        assert request.id_at.column == start + 1
        assert request.at.column == text.rindex("size=", 0, start) + 1
        assert request.level_at is not None
        assert request.level_at.column == text.index("level=", start) + 1
        assert request.type_at is not None
        assert request.type_at.column == text.rindex("type=", 0, start) + 1
