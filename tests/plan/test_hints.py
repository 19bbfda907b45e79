"""Hints are true wherever they are given: they are followed, on hosts that have what they mention and on all others."""

import itertools
import re
from collections.abc import Iterator

import msgspec
import pytest

from cachetune.cbm import Bandwidth, Cbm, Masks
from cachetune.domain import load
from cachetune.domain.model import Domain
from cachetune.findings import Finding
from cachetune.host.model import BandwidthControl, Group, Host
from cachetune.host.read import read_host
from cachetune.plan import Options, PlanRefusedError, plan
from cachetune.sim import SimulatedResctrl, load_profile
from cachetune.units import parse_size
from tests.field import hosts as field
from tests.rules.scenes import mpam, unreadable, without_sizes

pytestmark = pytest.mark.xdist_group("hints")  # every case is planned once

MIB = 1 << 20
SHRINK, AS_IS = Options(shrink_default=True), Options()


def fresh(profile: str) -> Host:
    return read_host(SimulatedResctrl(load_profile(profile)))


def with_cache(on: Host, **changes: object) -> Host:
    """The host with other values for all its cache resources."""
    return msgspec.structs.replace(on, caches=tuple(msgspec.structs.replace(c, **changes) for c in on.caches))


def with_default(on: Host, **changes: object) -> Host:
    """The host with another default group."""
    return msgspec.structs.replace(on, groups=(msgspec.structs.replace(on.groups[0], **changes), *on.groups[1:]))


def small(ways: int, least: int = 1) -> Host:
    """A host of one cache with a few ways."""
    full = Cbm((1 << ways) - 1)
    shrunk = with_cache(
        fresh("haswell"), cbm_mask=full, min_cbm_bits=least, size_bytes={0: ways * MIB}, shareable_bits=Cbm(0)
    )
    return with_default(shrunk, masks=Masks({"L3": {0: full}}))


def without_domains() -> Host:
    """A host whose default group lists neither caches nor nodes."""
    on = with_cache(fresh("skylake-2s"), size_bytes={})
    bandwidths = tuple(msgspec.structs.replace(b, ids=()) for b in on.bandwidths)
    topology = msgspec.structs.replace(on.topology, caches={})
    bare = with_default(on, masks=Masks({"L3": {}}), bandwidth=Bandwidth({"MB": {}}))
    return msgspec.structs.replace(bare, bandwidths=bandwidths, topology=topology)


def slow_memory_only() -> Host:
    on = fresh("genoa")
    return msgspec.structs.replace(on, bandwidths=tuple(b for b in on.bandwidths if b.name == "SMBA"))


def mpam_with_cdp() -> Host:
    on = fresh("sapphire-rapids-cdp")
    all_shared = tuple(msgspec.structs.replace(c, shareable_bits=c.cbm_mask) for c in on.caches)
    return msgspec.structs.replace(on, caches=all_shared, bandwidths=())


PROFILES = (
    *("skylake-2s", "haswell", "icelake", "genoa", "milan", "atom-l2", "cascade-lake", "allocation-only"),
    *("monitor-only", "sapphire-rapids-cdp", "sapphire-rapids-mbps"),
    *("turin", "granite-rapids-snc3", "kunpeng-920-mpam", "clearwater-forest"),
)
TREES = {
    name: tree
    for name, tree in vars(field).items()
    if isinstance(tree, dict) and name.isupper() and not name.startswith("_")
}


@pytest.fixture(scope="module")
def all_hosts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Host]:
    made = {name: fresh(name) for name in PROFILES}
    made |= {name: field.host(tree, tmp_path_factory.mktemp(name)) for name, tree in TREES.items()}
    made |= {
        "MPAM": mpam(num_rmids=1),
        "MPAM with CDP": mpam_with_cdp(),
        "unknown sizes": without_sizes(fresh("skylake-2s")),
        "an unreadable group": unreadable(""),
        "one way": small(1),
        "two ways, both needed": small(2, least=2),
        "three ways": small(3),
        "no caches listed": without_domains(),
        "slow memory only": slow_memory_only(),
        "exclusive default": with_default(fresh("skylake-2s"), mode="exclusive"),
    }
    return made


SIZES = (0, 1, MIB, 3 * MIB, 2304 << 10, 4608 << 10, 16128 << 10, 18 * MIB, 25344 << 10, 36 * MIB, 200 * MIB)


def requests() -> Iterator[str]:
    """Requests for a little, for much, and for what most hosts lack."""
    wide = itertools.product((2, 3), (0, 7), ("both", "code"), SIZES)
    for level, cache_id, kind, size in itertools.chain(wide, itertools.product((1, 4), (0,), ("both",), (MIB,))):
        cache = f"<cache id='{cache_id}' level='{level}' type='{kind}' size='{size}' unit='B'/>"
        yield f"<cachetune vcpus='0'>{cache}</cachetune>"
    for node, value in itertools.product((0, 1, 122), (0, 5, 50, 55, 99, 100, 110, 1024, 5000)):
        yield f"<memorytune vcpus='0'><node id='{node}' bandwidth='{value}'/></memorytune>"
    for element in ("cachetune", "memorytune", "energytune"):
        level = " level='3'" if element == "cachetune" else ""
        yield f"<{element} vcpus='0'><monitor{level} vcpus='0'/></{element}>"


def domain(cputune: str) -> Domain:
    loaded = load(f"<domain type='kvm'><name>g</name><vcpu>1</vcpu><cputune>{cputune}</cputune></domain>".encode(), "g")
    assert loaded.domain is not None, loaded.findings
    return loaded.domain


def findings(wanted: Domain, on: Host, options: Options) -> tuple[Finding, ...]:
    try:
        return plan(wanted, on, None, options).warnings
    except PlanRefusedError as refused:
        return refused.findings


Case = tuple[Host, str, Options, Finding]


@pytest.fixture(scope="module")
def cases(all_hosts: dict[str, Host]) -> list[Case]:
    """Every finding of every request on every host, with and without --shrink-default."""
    domains = {cputune: domain(cputune) for cputune in requests()}
    return [
        (on, cputune, options, finding)
        for on in all_hosts.values()
        for cputune, wanted in domains.items()
        for options in (AS_IS, SHRINK)
        for finding in findings(wanted, on, options)
    ]


def of_rule(cases: list[Case], *rules: str) -> list[Case]:
    found = [case for case in cases if case[3].rule in rules]
    assert {case[3].rule for case in found} == set(rules), "every rule has a case"
    return found


def still(cputune: str, on: Host, options: Options, *rules: str) -> list[str]:
    """Which of these rules a request breaks."""
    return [f.rule for f in findings(domain(cputune), on, options) if f.rule in rules]


def resized(cputune: str, size_bytes: int) -> str:
    return re.sub(r"size='[0-9]+'", f"size='{size_bytes}'", cputune)


# "the cache ids are ", "caches ; ", "()", "{available}", and words between separators that are missing.
HOLE = re.compile(r"(caches|nodes|ids|are|has) ([;,]| \|)|\(\)|[,:;(] *[,;)|]|[{}]|\bNone\b")


@pytest.mark.parametrize(
    "text", ["the cache ids are  |", "the host has L3 caches ; no", "has {n}", "free (): a |", "a; |"]
)
def test_holes_are_recognized(text: str) -> None:
    assert HOLE.search(text)


def test_no_message_has_an_empty_list_or_a_hole(cases: list[Case]) -> None:
    assert [text for text in {f"{f.message} | {f.hint} |" for *_, f in cases} if HOLE.search(text)] == []


def test_a_hint_of_the_most_that_fits_is_the_most(cases: list[Case]) -> None:
    followed = 0
    for on, cputune, options, finding in of_rule(cases, "CT207"):
        for with_shrink, ways in re.findall(r"(with --shrink-default )?at most ([0-9]+) ways? \(", finding.hint):
            cache = next(c for c in on.caches if f"on {c.name} cache" in finding.message)
            way = cache.way_bytes(int(finding.message.partition(f"{cache.name} cache ")[2].partition(":")[0])) or 0
            under = SHRINK if with_shrink else options
            assert still(resized(cputune, int(ways) * way), on, under, "CT207") == [], finding
            assert still(resized(cputune, (int(ways) + 1) * way), on, under, "CT207", "CT204") != [], finding
            followed += 1
    assert followed


def test_shrink_default_is_recommended_where_it_is_off_and_helps(cases: list[Case]) -> None:
    followed = 0
    for on, cputune, options, finding in of_rule(cases, "CT207"):
        assert not (options.shrink_default and "--shrink-default" in finding.hint), finding
        if finding.hint.startswith("plan with --shrink-default"):
            assert still(cputune, on, SHRINK, "CT207") == [], finding
            followed += 1
    assert followed


def test_where_nothing_is_left_no_size_fits(cases: list[Case]) -> None:
    followed = 0
    for on, cputune, _, finding in of_rule(cases, "CT207"):
        if "nothing is left to give" in finding.hint:
            cache = next(c for c in on.caches if f"on {c.name} cache" in finding.message)
            assert still(resized(cputune, cache.way_bytes(0) or 0), on, SHRINK, "CT207", "CT204", "CT206") != [], (
                finding
            )
            followed += 1
    assert followed


def test_the_nearest_valid_sizes_are_valid(cases: list[Case]) -> None:
    about_size = ("CT204", "CT205", "CT206")
    followed = 0
    for on, cputune, options, finding in of_rule(cases, *about_size):
        sizes = re.findall(r"([0-9]+) ([KMG]?i?B)", finding.hint.partition("; but ")[0])
        assert sizes or "no size is valid" in finding.hint, finding
        for number, unit in sizes:
            valid = resized(cputune, parse_size(number, "byte" if unit == "B" else unit))
            assert still(valid, on, options, *about_size) == [], finding
            followed += 1
    assert followed


def test_the_nearest_valid_sizes_fit_or_the_hint_says_what_does(cases: list[Case]) -> None:
    followed = dict.fromkeys(("fit", "at most", "nothing"), 0)
    for on, cputune, options, finding in of_rule(cases, "CT204", "CT205", "CT206"):
        nearest, _, limit = finding.hint.partition("; but ")
        for number, unit in re.findall(r"([0-9]+) ([KMG]?i?B)", nearest)[-1:]:
            largest = resized(cputune, parse_size(number, "byte" if unit == "B" else unit))
            fits = "CT207" not in still(largest, on, SHRINK, "CT207")
            assert fits == (not limit), finding
            followed["fit"] += fits
        for with_shrink, ways in re.findall(r"(with --shrink-default )?at most ([0-9]+) ways? \(", limit):
            cache = next(c for c in on.caches if f"{c.name} cache" in finding.message)
            way = cache.way_bytes(next(iter(cache.size_bytes))) or 0
            under = SHRINK if with_shrink else options
            assert still(resized(cputune, int(ways) * way), on, under, "CT207") == [], finding
            followed["at most"] += 1
        followed["nothing"] += limit.startswith("nothing is left")
    assert all(followed.values()), followed


def test_the_nearest_valid_bandwidths_are_valid(cases: list[Case]) -> None:
    for on, cputune, options, finding in of_rule(cases, "CT210", "CT211"):
        for value in re.findall(r"[0-9]+", finding.hint.partition(";")[0]):
            valid = re.sub(r"bandwidth='[0-9]+'", f"bandwidth='{value}'", cputune)
            assert still(valid, on, options, "CT210", "CT211") == [], finding


def mb_of(on: Host) -> BandwidthControl:
    return next(b for b in on.bandwidths if b.name == "MB")


def l3_of(on: Host) -> set[int]:
    return {i for c in on.caches if c.level == 3 for i in c.size_bytes} | set(on.topology.caches.get(3, ()))


def test_what_bandwidth_nodes_are_is_true(cases: list[Case]) -> None:
    seen = set()
    for on, _, _, finding in of_rule(cases, "CT209"):
        ids, hint = set(mb_of(on).ids), finding.hint
        seen |= {word for word in ("are the ids of the L3", "NUMA nodes", "only L3", "lists no MB") if word in hint}
        assert ("are the ids of the L3 caches" in hint) <= (ids == l3_of(on)), finding
        assert ("NUMA nodes" in hint) <= (on.is_mpam and ids != l3_of(on)), finding
        assert ("only L3 cache" in hint) <= (ids < l3_of(on)), finding
        assert ("lists no MB" in hint) == (not ids), finding
    assert len(seen) == 4


def test_caches_that_cannot_be_shared_are_listed_once(cases: list[Case]) -> None:
    caches = {finding.message.rpartition(" on ")[2] for *_, finding in of_rule(cases, "CT219")}
    assert caches == {"L3 caches 0-1", "L3 cache 1"}


def test_a_mount_option_is_recommended_only_if_it_is_not_as_it_should_be(cases: list[Case]) -> None:
    for on, cputune, _, finding in of_rule(cases, "CT202"):
        level = int(cputune.partition("level='")[2][0])
        has_code = any(c.type == "code" and c.level == level for c in on.caches)
        assert ("without the option" in finding.hint) == has_code, finding
        assert finding.hint.count("cdpl2") == (level == 2), finding


@pytest.mark.parametrize(
    ("rule", "name", "cputune", "hint"),
    [
        ("CT201", "skylake-2s", ("level='2'", "id='0'"), "the host controls L3 only"),
        ("CT201", "atom-l2", ("level='3'", "id='0'"), "the host controls L2 only; if /proc/cpuinfo has"),
        ("CT201", "skylake-2s", ("level='4'", "id='0'"), "the host controls L3 only"),
        ("CT201", "NO_L3_CONTROL", ("level='4'", "id='0'"), "resctrl can control L2 and L3 only, and the host"),
        ("CT201", "NO_L3_CONTROL", ("level='3'", "id='0'"), "info/ has L3_MON but no L3; if /proc/cpuinfo has"),
        ("CT201", "NO_L3_CONTROL", ("level='2'", "id='0'"), "the host controls no caches; remove the <cache>"),
        ("CT202", "MPAM", ("level='3'", "code"), "with the option cdp, which most MPAM kernels refuse"),
        ("CT202", "skylake-2s", ("level='3'", "code"), "with the option cdp if the processor has CDP"),
        ("CT203", "icelake", ("level='3'", "id='7'"), "the host has L3 cache 0"),
        ("CT203", "KUNPENG", ("level='3'", "id='7'"), "the host has L3 caches 1,122"),
        ("CT203", "no caches listed", ("level='3'", "id='7'"), "the default group's schemata lists no L3 cache"),
        ("CT208", "slow memory only", ("memorytune", "node"), "controls the bandwidth of slow memory only"),
        ("CT208", "MPAM with CDP", ("memorytune", "node"), "mount resctrl without cdp"),
        ("CT208", "monitor-only", ("memorytune", "node"), "choose a host with memory bandwidth control"),
        ("CT211", "skylake-2s", ("memorytune", "'1024'"), "MiB/s only if resctrl is mounted with mba_MBps"),
        ("CT225", "genoa", ("memorytune", "'50'"), "AMD has no percent"),
        ("CT225", "sapphire-rapids-mbps", ("memorytune", "'50'"), "mount resctrl without mba_MBps"),
    ],
)  # fmt: skip
def test_what_a_host_lacks_decides_the_hint(
    rule: str, name: str, cputune: tuple[str, str], hint: str, cases: list[Case], all_hosts: dict[str, Host]
) -> None:
    hints = {
        finding.hint
        for on, asked, _, finding in cases
        if on is all_hosts[name] and finding.rule == rule and all(part in asked for part in cputune)
    }
    assert hints
    assert all(hint in found for found in hints), hints


# -- compaction -----------------------------------------------------------------------------------------------------


def with_groups(default: int, *masks: int, ways: int = 8) -> Host:
    """A host of one cache where the default group and groups of ours have these masks."""
    on = with_default(small(ways), masks=Masks({"L3": {0: Cbm(default)}}))
    groups = [
        Group(f"cachetune-guest{n}", "control", "cachetune", masks=Masks({"L3": {0: Cbm(mask)}}))
        for n, mask in enumerate(masks)
    ]
    return msgspec.structs.replace(on, groups=(*on.groups, *groups))


def requesting(ways: int) -> Domain:
    found = load(
        f"""<domain type='kvm'><name>new</name><vcpu>1</vcpu><cputune><cachetune vcpus='0'>
        <cache id='0' level='3' type='both' size='{ways}' unit='MiB'/></cachetune></cputune></domain>""".encode(),
        "new.xml",
    ).domain
    assert found
    return found


def refused_for_room(on: Host, ways: int, options: Options = AS_IS) -> str:
    with pytest.raises(PlanRefusedError) as caught:
        plan(requesting(ways), on, options=options)
    return next(finding.hint or "" for finding in caught.value.findings if finding.rule == "CT207")


@pytest.mark.parametrize(
    ("default", "masks", "ways", "hint", "options"),
    [
        (0x80, (0b0110,), 5, "plan with --compact: cachetune-guest0 would move", Options(compact=True)),
        (
            0x18,
            (),
            5,
            "plan with --compact and --shrink-default: the default group would move",
            Options(compact=True, shrink_default=True),
        ),
        (
            0xF0,
            (0b0010,),
            3,
            (
                "plan with --shrink-default: the default group would keep e0 of f0, "
                "or with --compact: cachetune-guest0 would move"
            ),
            Options(compact=True),
        ),
    ],
)
def test_compaction_is_offered_where_it_helps_and_then_it_does(
    default: int, masks: tuple[int, ...], ways: int, hint: str, options: Options
) -> None:
    on = with_groups(default, *masks)
    assert refused_for_room(on, ways) == hint
    assert plan(requesting(ways), on, options=options).steps


def test_where_even_compaction_does_not_help_the_hint_says_what_it_makes_possible() -> None:
    on = with_groups(0x80, 0b0110, 0b110000)
    hint = refused_for_room(on, 7)
    assert hint == "at most 1 way (1 MiB) fits; with --compact and --shrink-default at most 3 ways (3 MiB) fit"
    both = Options(compact=True, shrink_default=True)
    assert plan(requesting(3), on, options=both).steps
    assert "--compact" not in refused_for_room(on, 4, both)


def test_a_group_of_another_program_in_the_middle_does_not_move_but_the_default_group_could() -> None:
    on = with_groups(0x80, 0b0110)
    foreign = msgspec.structs.replace(on.groups[1], path="COS1", owner="pqos")
    hint = refused_for_room(msgspec.structs.replace(on, groups=(on.groups[0], foreign)), 6)
    assert hint == "at most 4 ways (4 MiB) fit; with --compact and --shrink-default at most 5 ways (5 MiB) fit"
