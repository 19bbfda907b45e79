"""What a request on one host becomes on another."""

from functools import cache
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from cachetune.domain import Head, load, tuning_text
from cachetune.domain.model import CacheRequest, Domain, GroupRequest
from cachetune.findings import Source
from cachetune.fleet.fit import fit
from cachetune.fleet.model import Candidate
from cachetune.fleet.move.model import By, MoveOptions, Translation
from cachetune.fleet.move.translate import translate
from cachetune.host.model import Host, Topology
from cachetune.host.read import read_host
from cachetune.plan import Options
from cachetune.plan.build import plan
from cachetune.plan.rounding import valid_ways
from cachetune.sim import SimulatedResctrl, load_profile, profile_names
from cachetune.units import Rounding, Size

L3 = "<cache id='0' level='3' type='both' size='6912' unit='KiB'/>"
HERE = Source()


@cache
def host_of(name: str) -> Host:
    return read_host(SimulatedResctrl(load_profile(name)))


def domain_of(cputune: str, vcpus: int = 4) -> Domain:
    xml = f"<domain type='kvm'><name>web</name><vcpu>{vcpus}</vcpu><cputune>{cputune}</cputune></domain>"
    loaded = load(xml.encode(), "web.xml")
    assert loaded.domain, loaded.findings
    return loaded.domain


def moved(cputune: str, a: str, b: str, **options: object) -> Translation:
    return translate(domain_of(cputune), host_of(a), host_of(b), MoveOptions(**options))  # type: ignore[arg-type]


def tune(*children: str, vcpus: str = "0-1") -> str:
    return f"<cachetune vcpus='{vcpus}'>{''.join(children)}</cachetune>"


def memory(*children: str) -> str:
    return f"<memorytune vcpus='0-1'>{''.join(children)}</memorytune>"


def l3(cache_id: int, size: int, unit: str, kind: str = "both") -> str:
    return f"<cache id='{cache_id}' level='3' type='{kind}' size='{size}' unit='{unit}'/>"


def sizes(translation: Translation) -> dict[tuple[str, int], str]:
    """Sizes by type and cache id."""
    return {(c.type, c.cache_id): str(c.size) for group in translation.domain.groups for c in group.caches}


def bandwidths(translation: Translation) -> dict[tuple[str, int], str]:
    return {(n.resource, n.node_id): str(n.bandwidth) for group in translation.domain.groups for n in group.nodes}


# sizes


def test_bytes_are_rounded_up_to_the_ways_of_the_other_host_so_that_no_guest_gets_less() -> None:
    assert sizes(moved(tune(L3), "skylake-2s", "icelake")) == {("both", 0): "9 MiB"}
    assert sizes(moved(tune(L3), "skylake-2s", "icelake", rounding="down")) == {("both", 0): "6 MiB"}
    assert sizes(moved(tune(L3), "skylake-2s", "icelake", rounding="nearest")) == {("both", 0): "6 MiB"}


def test_the_value_says_what_it_was_and_what_it_is() -> None:
    (value,) = moved(tune(L3), "skylake-2s", "icelake").values
    assert (value.group, value.resource, value.a_ids, value.b_id) == ("vCPUs 0-1", "L3", (0,), 0)
    assert (value.a, value.b) == ("6.75 MiB (3 ways)", "9 MiB (3 ways)")
    assert (value.a_amount, value.b_amount, value.rule) == (7077888, 9437184, "id")


def test_ways_and_percent_keep_their_unit() -> None:
    assert sizes(moved(tune(l3(0, 3, "ways")), "skylake-2s", "icelake")) == {("both", 0): "3 ways"}
    assert sizes(moved(tune(l3(0, 30, "%")), "skylake-2s", "icelake")) == {("both", 0): "30%"}


def test_a_percentage_with_round_is_whole_ways() -> None:
    assert sizes(moved(tune(l3(0, 30, "%")), "skylake-2s", "icelake", rounding="up")) == {("both", 0): "12 MiB"}
    assert sizes(moved(tune(l3(0, 30, "%")), "skylake-2s", "icelake", rounding="down")) == {("both", 0): "9 MiB"}


@pytest.mark.parametrize(
    ("by", "size", "expected"),
    [
        ("bytes", l3(0, 3, "ways"), "9 MiB"),
        ("ways", L3, "3 ways"),
        ("percent", L3, "12 MiB"),  # 3 of 11 is 3.27 of 12
        ("percent", l3(0, 3, "ways"), "12 MiB"),
        ("bytes", l3(0, 50, "%"), "15 MiB"),  # 5.5 of 11 ways are 12.375 MiB
    ],
)
def test_a_size_is_translated_by_its_bytes_ways_or_share(by: By, size: str, expected: str) -> None:
    assert sizes(moved(tune(size), "skylake-2s", "icelake", by=by)) == {("both", 0): expected}


def test_a_size_below_the_minimum_of_the_other_host_becomes_the_minimum() -> None:
    translation = moved(tune(l3(0, 1, "ways")), "skylake-2s", "haswell", by="ways")
    assert sizes(translation) == {("both", 0): "2 ways"}
    translation = moved(tune(l3(0, 1, "ways")), "skylake-2s", "haswell", by="ways", rounding="down")
    assert [lost.rule for lost in translation.lost] == ["CT206"]


def test_a_size_that_the_other_host_does_not_have_is_left_out_with_the_planners_rule() -> None:
    translation = moved(tune(l3(0, 32, "MiB")), "turin", "skylake-2s")
    assert translation.domain.groups == ()
    assert [(lost.what, lost.rule) for lost in translation.lost] == [("32 MiB of L3 cache 0", "CT204")]


def test_an_unknown_size_of_the_other_caches_leaves_ways() -> None:
    host = host_of("icelake")
    (cache,) = host.caches
    unknown = replace(host, caches=(replace(cache, size_bytes={0: None}),))
    domain = domain_of(tune(l3(0, 3, "ways")))
    assert sizes(translate(domain, host_of("skylake-2s"), unknown, MoveOptions())) == {("both", 0): "3 ways"}
    translation = translate(domain_of(tune(L3)), host_of("skylake-2s"), unknown, MoveOptions())
    assert [lost.rule for lost in translation.lost] == ["CT218"]
    by_ways = translate(domain_of(tune(L3)), host_of("skylake-2s"), unknown, MoveOptions(by="ways"))
    assert sizes(by_ways) == {("both", 0): "3 ways"}


# code and data


def test_both_becomes_code_and_data_and_these_become_both_again() -> None:
    with_cdp = moved(tune(l3(0, 8, "MiB")), "sapphire-rapids", "sapphire-rapids-cdp")
    assert sizes(with_cdp) == {("code", 0): "8 MiB", ("data", 0): "8 MiB"}
    back = translate(with_cdp.domain, host_of("sapphire-rapids-cdp"), host_of("sapphire-rapids"), MoveOptions())
    assert sizes(back) == {("both", 0): "8 MiB"}


@pytest.mark.parametrize(("rounding", "expected"), [(None, "12 MiB"), ("up", "12 MiB"), ("down", "4 MiB")])
def test_code_and_data_that_become_both_are_the_larger_one(rounding: Rounding | None, expected: str) -> None:
    request = tune(l3(0, 4, "MiB", "code"), l3(0, 12, "MiB", "data"))
    translation = moved(request, "sapphire-rapids-cdp", "sapphire-rapids", rounding=rounding)
    assert sizes(translation) == {("both", 0): expected}


def test_a_level_without_control_is_left_out() -> None:
    request = tune("<cache id='0' level='2' type='both' size='2' unit='ways'/>", L3)
    translation = moved(request, "sapphire-rapids", "icelake")
    assert sizes(translation) == {("both", 0): "9 MiB"}
    assert [(lost.what, lost.rule) for lost in translation.lost] == [("2 ways of L2 cache 0", "CT201")]


# which cache


def test_without_pins_a_request_keeps_the_id_of_its_cache() -> None:
    assert sizes(moved(tune(l3(1, 2, "ways")), "skylake-2s", "turin")) == {("both", 1): "2 ways"}
    translation = moved(tune(l3(1, 2, "ways")), "skylake-2s", "milan")
    assert [(lost.rule, lost.reason) for lost in translation.lost] == [("CT203", "there is no L3 cache with id 1")]


def test_without_pins_a_request_for_every_cache_is_for_every_cache() -> None:
    request = tune(l3(0, 2, "ways"), l3(1, 3, "ways"))
    assert set(sizes(moved(request, "skylake-2s", "milan")).values()) == {"3 ways"}
    assert set(sizes(moved(request, "skylake-2s", "milan", rounding="down")).values()) == {"2 ways"}
    assert sizes(moved(request, "skylake-2s", "cascade-lake")) == {("both", 0): "2 ways", ("both", 1): "3 ways"}


def test_the_pins_of_the_vcpus_say_which_cache() -> None:
    pins = "<vcpupin vcpu='0' cpuset='2-3'/><vcpupin vcpu='1' cpuset='18-19'/>"
    request = pins + tune(l3(0, 2, "ways"), vcpus="0") + tune(l3(1, 3, "ways"), vcpus="1")
    translation = moved(request, "skylake-2s", "turin")
    assert [
        sizes(replace(translation, domain=replace(translation.domain, groups=(group,))))
        for group in translation.domain.groups
    ] == [
        {("both", 0): "2 ways"},
        {("both", 2): "3 ways"},
    ]
    assert {value.rule for value in translation.values} == {"cpus"}


def test_each_cache_on_which_vcpus_of_a_group_run_gets_what_they_had() -> None:
    pins = "<vcpupin vcpu='0' cpuset='0-9'/><vcpupin vcpu='1' cpuset='18-19'/>"
    translation = moved(pins + tune(l3(0, 2, "ways"), l3(1, 3, "ways")), "skylake-2s", "turin")
    assert sizes(translation) == {("both", 0): "2 ways", ("both", 1): "2 ways", ("both", 2): "3 ways"}


def test_the_cpus_of_the_other_host_can_be_given() -> None:
    translation = moved(tune(L3), "skylake-2s", "turin", cpus="8-23")
    assert sizes(translation) == {("both", 1): "8 MiB", ("both", 2): "8 MiB"}
    threads = f"<cachetune threads='emulator'>{L3}</cachetune>"
    assert sizes(translate(tuning(threads), host_of("skylake-2s"), host_of("turin"), MoveOptions(cpus="8"))) == {
        ("both", 1): "8 MiB"
    }


def tuning(inner: str) -> Domain:
    loaded = load(f"<cputune>{inner}</cputune>".encode(), "web.xml")
    assert loaded.domain, loaded.findings
    return replace(loaded.domain, name="web")


def test_cpus_that_the_other_host_does_not_have_leave_the_request_out() -> None:
    translation = moved(tune(L3), "skylake-2s", "haswell", cpus="400")
    assert translation.domain.groups == ()
    (lost,) = translation.lost
    assert (lost.rule, lost.hint) == ("CT223", "pass --cpus LIST")


def test_a_request_for_a_cache_on_which_no_vcpu_runs_is_left_out() -> None:
    pins = "<vcpupin vcpu='0' cpuset='0'/><vcpupin vcpu='1' cpuset='1'/>"
    translation = moved(pins + tune(l3(0, 2, "ways"), l3(1, 3, "ways")), "skylake-2s", "turin")
    assert sizes(translation) == {("both", 0): "2 ways"}
    assert [(lost.what, lost.rule) for lost in translation.lost] == [("3 ways of L3 cache 1", "CT223")]


def test_pins_do_not_count_where_the_cpus_of_caches_are_unknown() -> None:
    pins = "<vcpupin vcpu='0' cpuset='18'/><vcpupin vcpu='1' cpuset='18'/>"
    blind = replace(host_of("turin"), topology=Topology())
    assert sizes(translate(domain_of(pins + tune(L3)), host_of("skylake-2s"), blind, MoveOptions())) == {
        ("both", 0): "8 MiB"
    }


# bandwidth


def test_a_percentage_stays_one_and_is_a_step_of_the_other_host() -> None:
    node = "<node id='0' bandwidth='{}'/>"
    assert bandwidths(moved(memory(node.format(50)), "skylake-2s", "icelake")) == {("MB", 0): "50"}
    mpam = moved(memory("<node id='1' bandwidth='34'/>"), "kunpeng-920-mpam", "skylake-2s")
    assert bandwidths(mpam) == {("MB", 1): "40"}
    mpam = moved(memory("<node id='1' bandwidth='34'/>"), "kunpeng-920-mpam", "skylake-2s", rounding="down")
    assert bandwidths(mpam) == {("MB", 1): "30"}


def test_a_rate_is_converted_and_a_percentage_without_one_is_left_out() -> None:
    amd = moved(memory("<node id='0' bandwidth='50'/>"), "genoa", "sapphire-rapids-mbps")
    assert bandwidths(amd) == {("MB", 0): "5961"}  # 6.25 GB/s
    assert [value.a for value in amd.values] == ["6.25 GB/s"]
    percent = moved(memory("<node id='0' bandwidth='50'/>"), "skylake-2s", "genoa")
    assert [(lost.what, lost.rule) for lost in percent.lost] == [("50% of MB node 0", "CT232")]
    either = "<node id='0' bandwidth='50' unit='%'/><node id='0' bandwidth='6.25' unit='GB/s'/>"
    both = moved(memory(either), "skylake-2s", "genoa")
    assert (bandwidths(both), both.lost) == ({("MB", 0): "6.25 GB/s"}, ())


def test_no_limit_stays_no_limit() -> None:
    assert bandwidths(moved(memory("<node id='0' bandwidth='100'/>"), "skylake-2s", "turin")) == {("MB", 0): "4096"}


def test_a_bandwidth_below_the_minimum_becomes_the_minimum() -> None:
    low = memory("<node id='1' bandwidth='4'/>")
    assert bandwidths(moved(low, "kunpeng-920-mpam", "skylake-2s")) == {("MB", 1): "10"}
    assert [lost.rule for lost in moved(low, "kunpeng-920-mpam", "skylake-2s", rounding="down").lost] == ["CT211"]


def test_a_host_without_bandwidth_control_or_monitoring_loses_them() -> None:
    request = tune(L3, "<monitor level='3' vcpus='0'/>") + memory("<node id='0' bandwidth='50'/>")
    translation = moved(request, "skylake-2s", "allocation-only")
    assert {lost.rule for lost in translation.lost} == {"CT208", "CT214"}
    (group,) = translation.domain.groups
    assert (group.nodes, group.monitors, len(group.caches)) == ((), (), 1)


# everything


@pytest.mark.parametrize("a", profile_names())
def test_a_request_moves_to_the_same_host_as_it_is(a: str) -> None:
    host = host_of(a)
    caches = tuple(
        CacheRequest(c.level, i, c.type, Size(way * max(c.min_cbm_bits, 1)), HERE)
        for c in host.caches
        for i in c.size_bytes
        if (way := c.way_bytes(i))
    )
    group = GroupRequest(frozenset({0}), "vcpus_0", caches, (), (), HERE)
    domain = Domain("web", None, None, "kvm", 1, (group,) if caches else ())
    translation = translate(domain, host, host, MoveOptions())
    assert tuning_text(translation.domain, Head()) == tuning_text(domain, Head())
    assert not translation.lost
    assert all(value.a == value.b and value.a_ids == (value.b_id,) for value in translation.values)


WITH_CACHES = [name for name in profile_names() if host_of(name).caches]


@settings(max_examples=60)
@given(
    a=st.sampled_from(WITH_CACHES),
    b=st.sampled_from(WITH_CACHES),
    rounding=st.sampled_from([None, *get_args(Rounding)]),
    by=st.sampled_from([None, *get_args(By)]),
    ways=st.integers(1, 19),
    everywhere=st.booleans(),
)
def test_what_the_planner_gives_on_the_other_host_is_at_least_or_at_most_what_it_was(
    a: str, b: str, rounding: Rounding | None, by: By | None, ways: int, *, everywhere: bool
) -> None:
    ours, theirs = host_of(a), host_of(b)
    control = ours.caches[-1]
    number = min(ways, valid_ways(control)[-1])
    ids = list(control.size_bytes)[: None if everywhere else 1]
    caches = tuple(
        CacheRequest(control.level, i, control.type, Size(number * (control.way_bytes(i) or 0)), HERE) for i in ids
    )
    group = GroupRequest(frozenset({0}), "vcpus_0", caches, (), (), HERE)
    domain = Domain("web", None, None, "kvm", 1, (group,))
    translation = translate(domain, ours, theirs, MoveOptions(rounding, by))
    text = tuning_text(translation.domain, Head())
    again = load(text.encode(), "web.xml")
    assert again.domain, again.findings
    assert tuning_text(again.domain, Head()) == text
    if not translation.domain.groups:
        assert translation.lost
        return
    options = Options(shrink_default=True)
    answer = fit(translation.domain, Candidate(b, theirs), options)
    if answer.answer != "fits":  # the default group must keep some ways
        assert {finding.rule for finding in answer.reasons} == {"CT207"}
        return
    (planned,) = [each for each in plan(translation.domain, theirs, None, options).groups if each.kind == "control"]
    for value in translation.values:
        resource = next(c for c in theirs.caches if c.name == value.resource)
        mask = planned.schemata.masks.at(value.resource, value.b_id)
        assert mask is not None
        assert mask.bit_count() * (resource.way_bytes(value.b_id) or 0) == value.b_amount
        if by in (None, "bytes"):
            least = resource.min_cbm_bits * (resource.way_bytes(value.b_id) or 0)
            assert value.a_amount is not None
            if rounding in (None, "up"):
                assert value.b_amount >= value.a_amount
            elif rounding == "down":
                assert value.b_amount <= max(value.a_amount, least)
