"""Words of pqos and rdtset become requests. What tuning XML cannot express is named, what they refuse is refused."""

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cachetune.domain import load
from cachetune.errors import InputError
from cachetune.guests.model import Guest, RunningGuest, Thread
from cachetune.host.model import Host
from cachetune.host.read import read_host
from cachetune.service.convert import Converted, convert, pqos, rdtset
from cachetune.service.convert.guest import located
from cachetune.service.convert.model import Foreign
from cachetune.service.export import export_guests
from cachetune.sim import SimulatedResctrl, load_profile, profile_names
from cachetune.units import Size
from tests.service.export.drawn import host_with_guests


def host_of(profile: str) -> Host:
    return read_host(SimulatedResctrl(load_profile(profile)))


SKYLAKE = host_of("skylake-2s")  # 11 ways of 2.25 MiB on two caches, percent
CDP = host_of("sapphire-rapids-cdp")
MBPS = host_of("sapphire-rapids-mbps")
TURIN = host_of("turin")


def of_pqos(*definitions: str, host: Host = SKYLAKE, associations: tuple[str, ...] = ()) -> Foreign:
    options = [("-e", "-e", text) for text in definitions] + [("-a", "-a", text) for text in associations]
    return pqos.read(options, host)


def converted(foreign: Foreign, host: Host = SKYLAKE, chosen: str | None = None, **vcpus: set[int]) -> Converted:
    places = {name.removeprefix("c"): frozenset(of) for name, of in vcpus.items()}
    return convert(foreign, host, chosen, places)


def test_masks_become_sizes_and_percent_stays() -> None:
    found = converted(of_pqos("llc:1=0x7;mba:1=50"))
    assert found.notes == ()
    assert found.xml == (
        "<cputune>\n  <cachetune>\n"
        "    <cache id='0' level='3' type='both' size='6912' unit='KiB'/>\n"
        "    <cache id='1' level='3' type='both' size='6912' unit='KiB'/>\n"
        "  </cachetune>\n  <memorytune>\n"
        "    <node id='0' bandwidth='50'/>\n    <node id='1' bandwidth='50'/>\n"
        "  </memorytune>\n</cputune>\n"
    )


def test_ids_choose_caches_later_definitions_win_and_decimal_is_decimal() -> None:
    foreign = of_pqos("LLC@0:1=0x1; llc@0-1:1=0xf;l3@1:1=3;")
    assert foreign.classes[0].masks == {"L3": {0: 0xF, 1: 3}}


def test_slow_memory_is_a_node_of_its_resource() -> None:
    found = converted(of_pqos("smba@0-1:1=64;mba@0:1=128", host=TURIN), TURIN)
    assert found.notes == ()
    assert "".join(line.strip() for line in found.xml.splitlines()[2:-2]) == (
        "<node id='0' bandwidth='128'/>"
        "<node id='0' resource='SMBA' bandwidth='64'/><node id='1' resource='SMBA' bandwidth='64'/>"
    )


def test_code_and_data_are_separate_with_cdp_and_one_definition_is_for_both() -> None:
    xml = converted(of_pqos("llc@0:1d=0xf;llc@0:1c=0x3;l2@0:1=0x7", host=CDP), CDP).xml
    assert "<cache id='0' level='3' type='code'" in xml
    assert "<cache id='0' level='3' type='data'" in xml
    both = of_pqos("llc:1=0xf", host=CDP).classes[0].masks
    assert set(both) == {"L3CODE", "L3DATA"}


def test_classes_are_of_vcpus() -> None:
    found = converted(of_pqos("llc@0:1=0x3;llc@0:2=0xc;llc@0:3=0x70"), c1={0, 1}, c2={2})
    assert "<cachetune vcpus='0-1'>" in found.xml
    assert "<cachetune vcpus='2'>" in found.xml
    assert found.notes == ("not converted: class 3",)


def test_the_whole_guest_can_have_one_of_several_classes() -> None:
    found = converted(of_pqos("llc@0:1=0x3;llc@0:2=0xc"), chosen="2")
    assert found.xml.count("<cachetune>") == 1
    assert found.notes == ("not converted: class 1",)


NOTED = {
    ("llc:1=0x5",): "class 1: mask 0x5 on L3 cache 0 has holes: 2 ways are requested, contiguous or not",
    ("llc:1=0x1800",): "class 1: mask 0x1800 on L3 cache 0 is left out: the host has the ways 0x7ff",
    ("llc:1=0",): "class 1: mask 0x0 on L3 cache 0 is left out: the host requires at least 1 way",
    ("llc:1=0x7ff",): "class 1 requests nothing: it has all ways and the whole bandwidth",
    ("mba:1=100",): "class 1 requests nothing: it has all ways and the whole bandwidth",
    ("mba:1=5",): "class 1: MB 5 on node 0 is left out: the host takes 10 to 100",
    ("smba:1=64",): "-e: smba:1=64: left out, because the host does not limit slow memory bandwidth",
    ("mba_max:1=500",): "-e: mba_max:1=500: left out, because the host limits memory bandwidth in percent",
    ("l2:1=0xf",): "-e: l2:1=0xf: left out, because the host has no L2",
    ("llc:1c=0xf",): "-e: llc:1c=0xf: left out, because the host has no separate code (CDP) on L3",
    ("llc@7:1=0xf",): "-e: llc@7:1=0xf: the host has no L3 cache 7",
    ("mba@7:1=50",): "-e: mba@7:1=50: the host has no node 7",
    ("llc:0=0xf", "llc:1=0x3"): "class 0 is left out: it is the default group, which belongs to no guest",
}


@pytest.mark.parametrize(("definitions", "note"), NOTED.items())
def test_what_tuning_xml_or_the_host_does_not_have_is_noted(definitions: tuple[str, ...], note: str) -> None:
    assert note in converted(of_pqos(*definitions)).notes


def test_ways_that_classes_share_are_noted() -> None:
    found = converted(of_pqos("llc@0:1=0x3;llc@0:2=0x6"), c1={0}, c2={1})
    assert found.notes == (
        "classes 1 and 2 share the ways 0x2 of L3 cache 0: each gets separate ways, so both take more",
    )


def test_cpus_and_tasks_of_a_class_are_noted() -> None:
    found = converted(of_pqos("llc@0:1=0x3", associations=("core:1=0-3;pid:1=4711,4712",)))
    assert found.notes == (
        "class 1: CPUs 0-3 left out: tuning XML names vCPUs",
        "class 1: 2 tasks left out: tuning XML names vCPUs",
    )


@pytest.mark.parametrize(
    "text",
    [
        *(
            "x",
            "llc=1",
            "llc:1",
            "llc:x=0x7",
            "llc:1=",
            "llc:1=0xg",
            "llc@:1=1",
            "l1:1=1",
            "mba:1c=50",
            "llc:1=0x7,0x8",
        ),
        *("llc@3-1:1=0x7", "llc@0-4294967295:1=0x7", f"llc:1=0x{'f' * 99}", "llc:\u0661=1", "mba:1=-1"),
    ],
)
def test_what_pqos_would_refuse_is_refused_with_its_place(text: str) -> None:
    with pytest.raises(InputError, match=r"^-e: "):
        of_pqos(text)


@pytest.mark.parametrize("text", ["core:1", "core:1=a", "cpu:1=0", "core:1=3-1", "pid:1=0-99999999", "llc:1=0x7"])
def test_an_association_that_pqos_would_refuse_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"^-a: "):
        of_pqos(associations=(text,))


def test_several_classes_need_a_choice_and_a_choice_must_exist() -> None:
    two = of_pqos("llc:1=0x3;llc:2=0xc")
    with pytest.raises(InputError, match="several classes are defined: 1 and 2"):
        converted(two)
    with pytest.raises(InputError, match="no class '3' is defined"):
        converted(two, chosen="3")
    with pytest.raises(InputError, match="vCPUs 1 are in the classes 1 and 2"):
        converted(two, c1={0, 1}, c2={1, 2})
    with pytest.raises(InputError, match="no class '0' is defined"):
        converted(of_pqos("llc:0=0x3"), chosen="0")


# scripts


def test_a_script_is_read_line_by_line() -> None:
    script = """#!/bin/sh -e
    # pqos -e 'llc:9=0x1'
    modprobe msr
    sudo /usr/sbin/pqos -I -e "llc:1=0x7;mba:1=50" -a 'core:1=0-3' -R l3cdp-any
    pqos -v -i 10 --alloc-class=llc:2=0x70 --alloc-assoc "pid:2=4711"
    pqos -ellc:3=0x1
    pqos -m all:0-3 -t 10
    """
    assert list(pqos.options_of_script(script, "set.sh")) == [
        ("set.sh:4", "-e", "llc:1=0x7;mba:1=50"),
        ("set.sh:4", "-a", "core:1=0-3"),
        ("set.sh:5", "-e", "llc:2=0x70"),
        ("set.sh:5", "-a", "pid:2=4711"),
        ("set.sh:6", "-e", "llc:3=0x1"),
    ]


def test_a_line_that_is_not_closed_is_refused() -> None:
    with pytest.raises(InputError, match=r"set\.sh:1: not a line of a shell script: No closing quotation"):
        list(pqos.options_of_script("pqos -e 'llc:1=0x7", "set.sh"))


@given(st.text(max_size=80))
def test_any_script_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(InputError):
        assert pqos.read(pqos.options_of_script(f"pqos -e {text}", "x"), SKYLAKE) is not None


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(profile_names()), st.integers(0, 10**6))
def test_a_script_that_export_made_requests_what_is_applied(
    tmp_path_factory: pytest.TempPathFactory, profile: str, seed: int
) -> None:
    """Export gives masks, convert gives sizes: those of the request that export as tuning XML gives."""
    host, guests = host_with_guests(profile, seed, tmp_path_factory.mktemp("run"))
    (text,) = export_guests(guests, host, "pqos", default=False).texts
    foreign = pqos.read(pqos.options_of_script(text.text, "set.sh"), host)
    applied = [guest.domain for guest in guests]
    asked = [(g, d) for d in applied for g in d.groups if g.has_allocation]
    paths = [line.split(": ")[1].split(" is class ") for line in text.text.splitlines() if " is class " in line]
    by_number = {number: path for path, number in paths}
    for one in foreign.classes:
        xml = convert(foreign, host, one.name, {}).xml
        read = load(xml.encode(), "x", vcpus=64).domain
        assert read
        sizes = {(c.level, c.cache_id, c.type, c.size) for g in read.groups for c in g.caches}
        path = by_number[one.name]
        (expected,) = (
            {(c.level, c.cache_id, c.type, c.size) for c in g.caches}
            for g, d in asked
            if path.endswith(str(g.id)) and path.startswith(f"cachetune-{d.name}")
        )
        # A mask that equals the default group's is no request there, but pqos's words do not show that.
        assert expected <= sizes


# rdtset


def of_rdtset(*texts: str, host: Host = SKYLAKE, pids: str = "", cpus: str = "") -> Foreign:
    return rdtset.read([("-t", text) for text in texts], host, pids, cpus)


def test_features_of_rdtset_are_a_class_each() -> None:
    one, two = of_rdtset("l3=0xf;mba=50;cpu=0-3", "3=0xf0;cpu=4,5").classes
    assert (one.name, one.masks, one.bandwidth) == ("1", {"L3": {0: 0xF, 1: 0xF}}, {"MB": {0: 50, 1: 50}})
    assert (two.name, two.masks, two.cpus) == ("2", {"L3": {0: 0xF0, 1: 0xF0}}, {4, 5})


def test_two_masks_of_rdtset_are_for_code_and_data() -> None:
    (one,) = of_rdtset("l3=0xf,0xf0;cpu=1", host=CDP).classes
    assert one.masks["L3CODE"][0] == 0xF
    assert one.masks["L3DATA"][0] == 0xF0


@pytest.mark.parametrize("text", ["t='l3=0xf';cpu=1", "'l3=0xf;cpu=1'", 't="l3=0xf;cpu=1"', "T=l3=0xf; cpu=1;"])
def test_a_class_of_rdtset_may_have_the_quotes_and_the_option_of_its_command_line(text: str) -> None:
    assert of_rdtset(text) == of_rdtset("l3=0xf;cpu=1")


def test_a_class_of_rdtset_without_cpus_is_for_the_tasks() -> None:
    one, two = of_rdtset("l3=0xf", "l3=0xf0;cpu=1", pids="4711,4712").classes
    assert (one.tids, two.tids) == ({4711, 4712}, frozenset())


def test_mbps_of_rdtset_need_a_host_that_has_them() -> None:
    assert of_rdtset("mba_max=2000;cpu=1", host=MBPS).classes[0].bandwidth["MB"][0] == 2000
    assert "left out" in of_rdtset("b=2000;cpu=1").notes[0]


def test_the_affinity_of_rdtset_is_noted() -> None:
    assert of_rdtset("l3=0xf", cpus="1-3").notes == (
        "-c 1-3: left out, because tuning XML does not pin threads; use <vcpupin> in the domain's XML",
    )


@pytest.mark.parametrize(
    "text", ["x", "l3", "l3=f", "l3=0xf,0xf,0xf", "l3=", "mba=0x5", "mba=", "cpu=a", "l4=0xf", "'l3=0xf", "t=t=l3=0xf"]
)
def test_what_rdtset_would_refuse_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"^-t: "):
        of_rdtset(text)


# running guests


def guest(pins: str = "") -> RunningGuest:
    threads = (Thread(4707), *(Thread(4711 + vcpu, vcpu=vcpu) for vcpu in range(3)))
    xml = f"<domain type='kvm' id='7'><name>web</name><vcpu>3</vcpu><cputune>{pins}</cputune></domain>"
    return RunningGuest(name="web", uuid=None, source="libvirt-status", guest=Guest(4707, threads), xml=xml)


def test_the_vcpus_of_a_guest_are_where_their_threads_are() -> None:
    foreign = of_pqos("llc@0:1=0x3;llc@0:2=0xc", associations=("pid:1=4711,4712,99;pid:2=4713",))
    rest, vcpus = located(foreign, guest())
    assert vcpus == {"1": {0, 1}, "2": {2}}
    assert convert(rest, SKYLAKE, None, vcpus).notes == ("class 1: 1 task left out: tuning XML names vCPUs",)


def test_the_vcpus_of_a_guest_are_where_they_are_pinned_unless_their_threads_are_elsewhere() -> None:
    pins = "".join(f"<vcpupin vcpu='{vcpu}' cpuset='{vcpu}-{vcpu + 1}'/>" for vcpu in range(2))
    foreign = of_pqos("llc@0:1=0x3;llc@0:2=0xc", associations=("core:1=0-2;pid:2=4712",))
    rest, vcpus = located(foreign, guest(pins))
    assert vcpus == {"1": {0}, "2": {1}}
    assert convert(rest, SKYLAKE, None, vcpus).notes == ()


def test_a_guest_in_no_class_is_an_error() -> None:
    with pytest.raises(InputError, match="no vCPU of 'web' is in a class"):
        located(of_pqos("llc@0:1=0x3", associations=("core:0=0-63",)), guest())


def test_a_value_of_any_class_is_planned_by_the_host_that_it_was_converted_for() -> None:
    for profile in profile_names():
        host = host_of(profile)
        for cache in host.caches:
            one = of_pqos(f"{'llc' if cache.level == 3 else 'l2'}:1={hex((1 << cache.min_cbm_bits) - 1)}", host=host)
            found = convert(one, host, None, {})
            sizes = {c.size for g in load(found.xml.encode(), "x", vcpus=4).domain.groups for c in g.caches}
            way = cache.way_bytes(min(cache.size_bytes)) or 0
            assert Size(cache.min_cbm_bits * way) in sizes or not cache.min_cbm_bits, profile
