"""One tuning file on simulated hosts of every kind: what each gives, and that applying it leaves nothing to do."""

import re
from pathlib import Path

import msgspec
import pytest

from cachetune.apply.run import Connection, apply
from cachetune.apply.state.ledger import Ledger
from cachetune.domain import load
from cachetune.domain.model import Domain
from cachetune.findings import Finding
from cachetune.host.model import Host
from cachetune.host.read import read_host
from cachetune.plan import Options, Plan, PlanRefusedError, plan
from cachetune.plan.render import render
from cachetune.sim import SimulatedResctrl, load_profile
from cachetune.units import Rounding
from tests.samples import GUEST, TIDS
from tests.sim.test_profiles import NAMES

_DRAWN = re.compile(r"^(\S+ \S+) +(?:[-#.A-Z]{8,} )?")

FLEET = Path(__file__).parents[2] / "examples" / "fleet.xml"


def tuning(cputune: str, name: str = "web") -> Domain:
    loaded = load(f"<cputune>{cputune}</cputune>".encode(), "fleet.xml")
    assert loaded.domain is not None, loaded.findings
    return msgspec.structs.replace(loaded.domain, name=name, vcpus=4)


def cache(size: str, unit: str, cache_id: int = 0, vcpus: str = "0-1", level: int = 3) -> str:
    return (
        f"<cachetune vcpus='{vcpus}'>"
        f"<cache id='{cache_id}' level='{level}' type='both' size='{size}' unit='{unit}'/></cachetune>"
    )


def node(bandwidth: str, unit: str = "", node_id: int = 0) -> str:
    attribute = f" unit='{unit}'" if unit else ""
    return f"<memorytune vcpus='0-1'><node id='{node_id}' bandwidth='{bandwidth}'{attribute}/></memorytune>"


def slow(bandwidth: str, unit: str = "", node_id: int = 0) -> str:
    return node(bandwidth, unit, node_id).replace("<node", "<node resource='SMBA'")


def fresh(profile: str) -> Host:
    return read_host(SimulatedResctrl(load_profile(profile)))


def planned(wanted: Domain, on: Host, rounding: Rounding | None = None) -> Plan:
    return plan(wanted, on, GUEST, Options(shrink_default=True, rounding=rounding))


def shown(made: Plan, resource: str) -> list[str]:
    """The guest's lines of a resource, without the picture and the mask."""
    lines = [_DRAWN.sub(r"\1  ", line.text.strip()) for line in render(made) if line.text.startswith("    ")]
    return [line for line in lines if line.startswith(resource) and "->" not in line and "shared with" not in line]


def rules(made: Plan) -> list[str]:
    return [finding.rule for finding in made.warnings]


def refusal(wanted: Domain, on: Host, rounding: Rounding | None = None) -> Finding:
    with pytest.raises(PlanRefusedError) as caught:
        planned(wanted, on, rounding)
    (finding,) = (f for f in caught.value.findings if f.severity == "error")
    return finding


@pytest.mark.parametrize(
    ("profile", "cache_line", "node_line"),
    [
        ("skylake-2s", "L3 0  007  6.75 MiB (requested: 30%)", "MB 0  50 percent"),
        ("icelake", "L3 0  007  9 MiB (requested: 30%)", "MB 0  50 percent"),
        ("milan", "L3 0  000f  8 MiB (requested: 30%)", "MB 0  100 (12.5 GB/s)"),
        ("turin", "L3 0  000f  8 MiB (requested: 30%)", "MB 0  100 (12.5 GB/s)"),
        ("sapphire-rapids-mbps", "L3 0  000f  16 MiB (requested: 30%)", "MB 0  11920 MiB/s (requested: 12.5 GB/s)"),
        (
            "sapphire-rapids-snc2",
            "L3 0  000f  16 MiB (8 MiB in each of 2 Sub-NUMA nodes) (requested: 30%)",
            "MB 0  50 percent",
        ),
    ],
)
def test_the_example_gives_each_host_what_it_can_have(profile: str, cache_line: str, node_line: str) -> None:
    text = FLEET.read_text()
    made = planned(
        tuning(text[text.index("<cputune>") :].partition("<cputune>")[2].rpartition("</cputune>")[0]), fresh(profile)
    )
    assert shown(made, "L3") == [cache_line]
    assert shown(made, "MB") == [node_line]
    assert rules(made) == []


@pytest.mark.parametrize("profile", NAMES)
def test_after_applying_it_there_is_nothing_to_do_on_any_host(profile: str, tmp_path: Path) -> None:
    sim = SimulatedResctrl(load_profile(profile))
    for tid in TIDS:
        sim.add_task(tid)
    connection = Connection(sim, tmp_path / "run")
    on = connection.look(Ledger())
    caches = "".join(
        f"<cache id='{next(iter(c.size_bytes))}' level='{c.level}' type='{c.type}' size='30' unit='%'/>"
        for c in on.caches
    )
    nodes = "".join(
        f"<node id='{b.ids[0]}' bandwidth='35' unit='%'/><node id='{b.ids[0]}' bandwidth='6.3' unit='GB/s'/>"
        for b in on.bandwidths
        if b.name == "MB"
    )
    wanted = tuning(
        (f"<cachetune vcpus='0-1'>{caches}</cachetune>" if caches else "")
        + (f"<memorytune vcpus='0-1'>{nodes}</memorytune>" if nodes else "")
    )
    made = planned(wanted, on)
    for group in made.groups:
        for name, i, mask in group.schemata.masks.entries():
            if group.requested.at(name, i) is not None:
                ways = next(c.ways for c in on.caches if c.name == name)
                assert 0 < mask.bit_count() < ways
                assert mask.bit_count() * 100 / ways <= 30.5
    assert apply(made, connection).exit_code == 0
    assert planned(wanted, connection.look(Ledger())).steps == ()


def test_percent_and_ways_on_sub_numa_nodes_are_the_same_of_each_and_bytes_are_not() -> None:
    on = fresh("sapphire-rapids-snc2")
    assert "CT226" not in rules(planned(tuning(cache("30", "%")), on)) + rules(planned(tuning(cache("3", "ways")), on))
    assert rules(planned(tuning(cache("12", "MiB")), on)) == ["CT226"]


def test_the_minimum_of_a_processor_holds_when_rounding() -> None:
    on = fresh("haswell")  # masks of at least 2 of 20 ways
    assert on.caches[0].min_cbm_bits == 2
    assert refusal(tuning(cache("5", "%")), on).rule == "CT206"
    assert refusal(tuning(cache("7", "%")), on).hint == "nearest valid: 10%"
    assert shown(planned(tuning(cache("7", "%")), on, "nearest"), "L3") == ["L3 0  00003  3 MiB (requested: 7%)"]
    assert refusal(tuning(cache("1", "ways")), on, "up").message == "1 way is below the minimum of 2 ways on L3 cache 0"


def test_with_sparse_masks_guests_still_get_contiguous_ways() -> None:
    sim = SimulatedResctrl(load_profile("milan"))
    sim.write("schemata", "L3:0=0a55\n")
    made = plan(tuning(cache("25", "%")), read_host(sim), GUEST)
    assert shown(made, "L3") == ["L3 0  f000  8 MiB"]


def test_three_ways_are_three_ways_of_any_cache() -> None:
    found = {
        profile: shown(planned(tuning(cache("3", "ways")), fresh(profile)), "L3") for profile in ("haswell", "milan")
    }
    assert found == {"haswell": ["L3 0  00007  4.5 MiB"], "milan": ["L3 0  0007  6 MiB"]}


def test_what_others_get_is_not_rounded_away() -> None:
    two = cache("40", "%", vcpus="0-1") + cache("40", "%", vcpus="2-3")
    on = fresh("skylake-2s")  # 4.4 of 11 ways each, of which devices have 2
    assert [group.schemata.masks["L3"][0] for group in planned(tuning(two), on).groups] == [0x00F, 0x0F0]
    assert refusal(tuning(two), on, "up").rule == "CT207"


@pytest.mark.parametrize(("profile", "step"), [("skylake-2s", 10), ("cascade-lake", 10)])
def test_a_plain_bandwidth_is_refused_or_rounded_as_the_option_says(profile: str, step: int) -> None:
    on = fresh(profile)
    assert refusal(tuning(node("55")), on).rule == "CT210"
    made = planned(tuning(node("55")), on, "up")
    assert shown(made, "MB") == ["MB 0  60 percent (requested: 55)"]
    assert made.groups[0].requested["MB"] == {0: 50 + step}
    assert made.groups[0].rounded_from == {"MB": {0: "55"}}


def test_mpam_shows_the_rounded_value_and_what_the_host_keeps() -> None:
    on = fresh("kunpeng-920-mpam")
    (control,) = (b for b in on.bandwidths if b.name == "MB")
    made = planned(tuning(node("34.5", "%", control.ids[0])), on)
    assert shown(made, "MB") == ["MB 1  34 percent (requested: 34.5%)"]


@pytest.mark.parametrize(
    ("profile", "bandwidth", "warned"),
    [
        ("sapphire-rapids-mbps", node("50"), ["CT225"]),
        ("milan", node("50"), ["CT225"]),
        ("genoa", node("100"), ["CT225"]),
        ("skylake-2s", node("50"), []),
        ("sapphire-rapids-mbps", node("50", "MiB/s"), []),
        ("milan", node("6.25", "GB/s"), []),
        ("milan", node("104"), []),
    ],
)
def test_a_number_that_looks_like_percent_is_warned_of_unless_it_has_a_unit(
    profile: str, bandwidth: str, warned: list[str]
) -> None:
    assert rules(planned(tuning(bandwidth), fresh(profile))) == warned


def errors(wanted: Domain, on: Host) -> list[str]:
    """What makes the request impossible, "rule: message"."""
    with pytest.raises(PlanRefusedError) as refused:
        planned(wanted, on)
    return [f"{found.rule}: {found.message}" for found in refused.value.findings if found.severity == "error"]


def test_slow_memory_is_planned_where_the_host_has_it_and_refused_elsewhere() -> None:
    both = tuning(node("16", "GB/s") + slow("8", "GB/s"))
    made = planned(both, fresh("turin"))
    assert [*shown(made, "MB"), *shown(made, "SMBA")] == ["MB 0  128 (16 GB/s)", "SMBA 0  64 (8 GB/s)"]
    assert errors(both, fresh("milan")) == ["CT208: this host has no slow memory bandwidth control"]
    nowhere = tuning(slow("8", "GB/s", 9))
    assert errors(nowhere, fresh("turin")) == ["CT209: there is no slow memory bandwidth node 9"]


def test_a_host_that_limits_slow_memory_only_is_planned_and_shown_in_its_unit() -> None:
    on = fresh("turin")
    only = msgspec.structs.replace(on, bandwidths=tuple(b for b in on.bandwidths if b.name == "SMBA"))
    assert shown(planned(tuning(slow("8", "GB/s")), only), "SMBA") == ["SMBA 0  64 (8 GB/s)"]


def test_a_foreign_group_is_left_alone_only_if_its_limit_on_slow_memory_is_the_requested_one() -> None:
    sim, path = SimulatedResctrl(load_profile("turin")), "cachetune-web-vcpus_0-1"
    sim.mkdir(path)
    sim.write(f"{path}/schemata", "SMBA:0=64\n")
    for tid in TIDS[:2]:
        sim.add_task(tid)
        sim.write(f"{path}/tasks", str(tid))
    on = read_host(sim)
    groups = tuple(msgspec.structs.replace(g, owner="unknown") if g.path == path else g for g in on.groups)
    foreign = msgspec.structs.replace(on, groups=groups)
    assert planned(tuning(slow("64")), foreign).steps == ()
    (error,) = errors(tuning(slow("128")), foreign)
    assert "its slow memory bandwidth on node 0 is 64" in error
