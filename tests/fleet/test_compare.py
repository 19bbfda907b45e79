"""In what two hosts differ for tuning."""

from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from cachetune.fleet.compare import Comparison, compare
from cachetune.fleet.sizes import size_steps
from cachetune.host.model import CacheControl, Host, Identity, Topology
from cachetune.host.read import read_host
from cachetune.plan.rounding import valid_ways
from cachetune.sim import SimulatedResctrl, load_profile, profile_names


@cache
def host_of(name: str, *groups: str) -> Host:
    sim = SimulatedResctrl(load_profile(name))
    for group in groups:
        sim.mkdir(group)
    return read_host(sim)


def differing(comparison: Comparison) -> dict[str, tuple[object, object]]:
    return {fact.key: (fact.a, fact.b) for fact in comparison.differences}


@pytest.mark.parametrize("name", profile_names())
def test_a_host_does_not_differ_from_itself(name: str) -> None:
    host = host_of(name)
    comparison = compare(host, host, groups=True)
    assert (comparison.differences, comparison.sizes, comparison.notes, comparison.exit_code) == ((), (), (), 0)
    assert {fact.key for fact in comparison.facts} >= {"architecture", "closids_total", "mount_options"}


def test_the_properties_of_caches_bandwidth_and_limits_are_compared() -> None:
    comparison = compare(host_of("skylake-2s"), host_of("milan"))
    found = differing(comparison)
    assert found["L3.cache_ids"] == ("0-1", "0,2,4,6,8,10,12,14")
    assert found["L3.way_bytes"] == (2359296, 2097152)
    assert found["L3.sparse_masks"] == (False, True)
    assert found["L3.shareable_bits"] == ("600", "0")
    assert found["L3.cpus_per_cache"] == (36, 8)
    assert found["MB.unit"] == ("percent", "1/8 GB/s")
    assert found["closids_total"] == (8, 16)
    assert found["L3_MON.num_rmids"] == (144, 256)
    assert comparison.exit_code == 1
    assert not any(key.startswith("in_use") for key in found)


def test_code_and_data_are_one_row_unless_they_differ() -> None:
    cdp = host_of("sapphire-rapids-cdp")
    found = differing(compare(host_of("sapphire-rapids"), cdp))
    assert found == {
        "mount_options": ("none", "cdp"),
        "L3.types": ("both", "code, data"),
        "L3.num_closids": (15, 7),
        "closids_total": (8, 7),
    }
    uneven = replace(cdp, caches=[replace(c, min_cbm_bits=2) if c.type == "data" else c for c in cdp.caches])
    assert differing(compare(cdp, uneven)) == {"L3.min_cbm_bits": (1, "code=1; data=2")}


def test_a_resource_that_one_host_lacks_is_one_difference() -> None:
    skylake, spr = host_of("skylake-2s"), host_of("sapphire-rapids")
    (fact,) = [fact for fact in compare(skylake, spr).facts if fact.key.startswith("L2")]
    assert (fact.key, fact.a, fact.b) == ("L2.types", None, "both")
    (fact,) = [fact for fact in compare(spr, skylake).facts if fact.key.startswith("L2")]
    assert (fact.key, fact.a, fact.b) == ("L2.types", "both", None)


def test_topics_are_in_one_order_whichever_host_has_them() -> None:
    for pair in (("skylake-2s", "sapphire-rapids"), ("sapphire-rapids", "skylake-2s")):
        keys = [fact.key for fact in compare(*map(host_of, pair)).facts]
        assert keys.index("mount_options") < keys.index("L2.types") < keys.index("L3.types") < keys.index("MB.unit")


def test_kernel_and_processor_are_compared_only_where_both_are_known() -> None:
    host = host_of("skylake-2s")
    old, new = (
        replace(host, identity=Identity(hostname=name, taken=taken, kernel=kernel))
        for name, taken, kernel in (("node7", 1.0, "6.1.0"), ("node8", 2.0, "6.12.0"))
    )
    comparison = compare(old, new)
    assert differing(comparison) == {"kernel": ("6.1.0", "6.12.0")}
    assert (comparison.a.hostname, comparison.b.taken) == ("node7", 2.0)
    assert differing(compare(old, host)) == {}


def test_what_is_in_use_is_compared_on_request() -> None:
    empty, full = host_of("skylake-2s"), host_of("skylake-2s", "cachetune-web")
    assert differing(compare(empty, full)) == {}
    assert differing(compare(empty, full, groups=True)) == {
        "in_use/groups.paths": ("none", "cachetune-web"),
        "in_use/groups.closids_used": (1, 2),
        "in_use/groups.rmids_used": (1, 2),
    }


def test_notes_say_what_a_difference_means_for_a_request() -> None:
    notes = compare(host_of("sapphire-rapids"), host_of("milan")).notes
    assert notes[0] == "L2: no request for this level can be planned on B [CT201]"
    assert notes[-1] == "MB: percent cannot be converted to 1/8 GB/s: no host knows what 100 percent is"
    assert compare(host_of("skylake-2s"), host_of("sapphire-rapids-cdp")).notes == (
        "L3: type both becomes type code and data on B [CT202]",
        "L3: B has no cache 1 [CT203]",
    )
    assert "MB: no bandwidth can be limited on B [CT208]" in compare(host_of("milan"), host_of("haswell")).notes
    no_monitors = replace(host_of("skylake-2s"), monitors=())
    assert "no monitor can be created on B [CT214]" in compare(host_of("skylake-2s"), no_monitors).notes


def host_with_cache(cache: CacheControl) -> Host:
    return replace(host_of("skylake-2s"), caches=(cache,), topology=Topology())


@given(st.integers(2, 20), st.integers(2, 20), st.integers(1, 4), st.integers(1, 400), st.integers(1, 400))
def test_a_size_lies_between_its_two_roundings(ways_a: int, ways_b: int, least: int, way_a: int, way_b: int) -> None:
    (skylake,) = host_of("skylake-2s").caches
    masks = [type(skylake.cbm_mask)((1 << ways) - 1) for ways in (ways_a, ways_b)]
    ours = replace(skylake, cbm_mask=masks[0], size_bytes={0: ways_a * way_a})
    theirs = replace(skylake, cbm_mask=masks[1], size_bytes={0: ways_b * way_b}, min_cbm_bits=least)
    steps = list(size_steps(host_with_cache(ours), host_with_cache(theirs)))
    assert [step.a_ways for step in steps] == ([] if way_a == way_b else list(valid_ways(ours)))
    for step in steps:
        down, up = step.b_ways_down, step.b_ways_up
        assert {down, up} - {None} <= set(valid_ways(theirs))
        assert down is None or down * way_b <= step.size_bytes < (down + 1) * way_b
        assert up is None or (up - 1) * way_b < step.size_bytes <= up * way_b
        assert step.is_exact == (down is not None and down == up)


def test_caches_of_unknown_size_have_no_sizes_to_translate() -> None:
    host = host_of("skylake-2s")
    (cache,) = host.caches
    unknown = replace(host, caches=(replace(cache, size_bytes={0: None, 1: None}),))
    assert list(size_steps(unknown, host_of("milan"))) == []
    assert differing(compare(host, unknown))["L3.size_bytes"] == (25952256, None)


def test_a_made_up_snapshot_with_thousands_of_unlike_caches_is_compared_at_once() -> None:
    host = host_of("skylake-2s")
    (cache,) = host.caches
    unlike = replace(host, caches=(replace(cache, size_bytes={i: 11 * (i + 1) for i in range(20000)}),))
    assert len(list(size_steps(unlike, unlike))) == 10 * (4 * 4 - 4)
