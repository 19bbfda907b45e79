"""Plans for exclusive groups. The simulated kernel refuses what Linux refuses, so it decides whether they are right."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from cachetune.apply.run import Connection, apply
from cachetune.apply.state.ledger import load_ledger
from cachetune.cbm import Cbm, Masks
from cachetune.domain.model import BandwidthRequest, Domain, GroupRequest
from cachetune.errors import ResctrlError
from cachetune.findings import Finding
from cachetune.guests.model import Guest, Thread
from cachetune.host.model import Host
from cachetune.host.read import read_host
from cachetune.plan import GuestRequest, Options, Plan, PlanRefusedError, plan, plan_guests
from cachetune.plan.exclusive import Overlap, overlap_of
from cachetune.plan.render import render
from cachetune.plan.steps import CreateGroup, MoveTasks, RemoveGroup, WriteFile, WriteSchemata
from cachetune.sim import SimulatedResctrl, load_profile
from cachetune.units import Rate
from tests.effort import examples
from tests.samples import GUEST, HERE, TIDS, cache_request, domain, group, host_with_guest, plan_for

GROUP = "cachetune-web-vcpus_0-1"
SHRINK = Options(shrink_default=True)
ROOM = "L3:0=7f0;1=7f0\n"
BANDWIDTH = domain(group({0, 1}, (), (BandwidthRequest(0, Rate(50), HERE),), []))


def exclusive(*ways: int, vcpus: frozenset[int] = frozenset({0, 1}), host: Host | None = None) -> GroupRequest:
    """An exclusive group with these ways of the caches of the host (skylake-2s), in order."""
    on = host or read_host(host_with_guest("skylake-2s"))
    caches = [(control, i) for control in on.caches for i in control.size_bytes]
    requests = tuple(cache_request(control, i, n) for (control, i), n in zip(caches, ways, strict=True))
    return replace(group(set(vcpus), requests, (), []), exclusive=True)


def with_cdp() -> SimulatedResctrl:
    """The host with code and data apart: L3CODE and L3DATA of caches 0 and 1."""
    sim = SimulatedResctrl(load_profile("skylake-2s").mounted("cdp"))
    for tid in TIDS:
        sim.add_task(tid)
    return sim


def placed(*groups: GroupRequest, sim: SimulatedResctrl, run: Path, options: Options = SHRINK) -> Connection:
    """The host where the guest's groups are as requested."""
    connection = Connection(sim, run)
    assert apply(plan_for(domain(*groups), connection, options=options), connection).outcome == "done"
    return connection


def refusal(wanted: Domain, host: Host, options: Options = SHRINK) -> list[Finding]:
    with pytest.raises(PlanRefusedError) as caught:
        plan(wanted, host, GUEST, options)
    return [finding for finding in caught.value.findings if finding.severity == "error"]


def shown(made: Plan) -> list[str]:
    return [line.text for line in render(made)]


def test_a_group_becomes_exclusive_after_all_masks_and_before_threads_move() -> None:
    made = plan(domain(exclusive(2, 1)), read_host(host_with_guest("skylake-2s")), GUEST, SHRINK)
    assert made.steps == (
        WriteSchemata(".", "L3:0=7ff;1=7ff\n", "L3:0=7fc;1=7fe\n"),
        CreateGroup(GROUP),
        WriteSchemata(GROUP, "", "L3:0=003;1=001\n"),
        WriteFile(f"{GROUP}/mode", "shareable", "exclusive"),
        MoveTasks(GROUP, ".", TIDS[:2]),
    )
    assert made.groups[0].mode == "exclusive"
    assert f"+ {GROUP}  (vCPUs 0-1, exclusive)" in shown(made)


def test_the_plan_of_an_exclusive_group_is_empty_once_it_is_applied(tmp_path: Path) -> None:
    sim = host_with_guest("skylake-2s")
    connection = placed(exclusive(2, 1), sim=sim, run=tmp_path)
    assert sim.read(f"{GROUP}/mode") == "exclusive\n"
    assert plan_for(domain(exclusive(2, 1)), connection).steps == ()


def test_a_mode_that_another_program_has_changed_is_a_difference(tmp_path: Path) -> None:
    sim = host_with_guest("skylake-2s")
    connection = placed(exclusive(2, 1), sim=sim, run=tmp_path)
    sim.write(f"{GROUP}/mode", "shareable\n")
    made = plan_for(domain(exclusive(2, 1)), connection)
    assert made.steps == (WriteFile(f"{GROUP}/mode", "shareable", "exclusive"),)
    assert f"~ {GROUP}  (vCPUs 0-1, shareable -> exclusive)" in shown(made)
    assert made.summary.groups_changed == 1


def test_a_group_that_is_no_longer_exclusive_is_shareable_before_it_shares_ways(tmp_path: Path) -> None:
    sim = host_with_guest("skylake-2s")
    connection = placed(exclusive(2, 1), sim=sim, run=tmp_path)
    control = connection.look(load_ledger(tmp_path)).caches[0]
    wanted = domain(group({0, 1}, (cache_request(control, 0, 2),), (), []))
    made = plan_for(wanted, connection)
    assert made.steps[0] == WriteFile(f"{GROUP}/mode", "exclusive", "shareable")
    assert WriteSchemata(GROUP, "L3:1=001\n", "L3:1=7fe\n") in made.steps
    assert apply(made, connection).outcome == "done"
    assert f"~ {GROUP}  (vCPUs 0-1, exclusive -> shareable)" in shown(made)


def test_the_option_makes_every_control_group_exclusive_and_no_monitor() -> None:
    on = read_host(host_with_guest("skylake-2s"))
    requests = exclusive(2, 1), exclusive(1, 1, vcpus=frozenset({2})), group({3}, (), (), [{3}])
    plain = domain(*(replace(each, exclusive=False) for each in requests))
    made = plan(plain, on, GUEST, replace(SHRINK, exclusive=True))
    modes = {each.path: each.mode for each in made.groups}
    assert modes == {
        GROUP: "exclusive",
        "cachetune-web-vcpus_2": "exclusive",
        "mon_groups/cachetune-web-vcpus_3": "shareable",
    }


def test_a_cache_without_a_request_is_refused_with_the_least_to_request() -> None:
    on = read_host(SimulatedResctrl(load_profile("sapphire-rapids")))
    (l2, l3) = sorted(on.caches, key=lambda control: control.level)
    (finding,) = refusal(domain(replace(group({0}, (cache_request(l3, 0, 2),), (), []), exclusive=True)), on)
    assert (finding.rule, finding.message) == (
        "CT247",
        "group cachetune-web-vcpus_0 cannot be exclusive: it requests no ways of L2 caches 0-31",
    )
    assert finding.hint == "request ways of them as well, at least 1 way (128 KiB) of L2 caches 0-31"
    assert l2.way_bytes(0) == 128 << 10


def test_a_group_with_bandwidth_alone_cannot_be_exclusive() -> None:
    (finding,) = refusal(BANDWIDTH, read_host(host_with_guest("skylake-2s")), replace(SHRINK, exclusive=True))
    assert finding.rule == "CT247"
    assert "L3 caches 0-1" in finding.message


@pytest.mark.parametrize(
    ("profile", "why"),
    [("kunpeng-920-mpam", "every way of L3 caches 1,122 counts as shared with devices, as on all MPAM hosts")],
)
def test_a_host_on_which_no_group_can_be_exclusive_is_named(profile: str, why: str) -> None:
    on = read_host(SimulatedResctrl(load_profile(profile)))
    found = refusal(domain(exclusive(2, 2, host=on)), on)
    assert [(each.rule, each.message.partition(": ")[2]) for each in found] == [("CT248", why)]


def test_without_cache_control_there_is_no_exclusive_group() -> None:
    on = replace(read_host(host_with_guest("skylake-2s")), caches=())
    found = refusal(BANDWIDTH, on, Options(exclusive=True))
    assert [each.message.partition(": ")[2] for each in found] == ["this host does not control caches"]


def test_ways_of_devices_are_left_out_even_if_they_are_free() -> None:
    sim = host_with_guest("skylake-2s")
    sim.write("schemata", "L3:0=00f;1=00f\n")  # 4 to 10 are free, and 9 and 10 are shared with devices
    on = read_host(sim)
    made = plan(domain(exclusive(5, 1)), on, GUEST)
    assert made.groups[0].schemata.masks.at("L3", 0) == 0x1F0
    (finding,) = refusal(domain(exclusive(6, 1)), on, Options())
    assert finding.rule == "CT207"
    assert finding.hint.endswith("an exclusive group cannot have the ways of devices (600)")
    shareable = domain(replace(exclusive(6, 1), exclusive=False))
    assert plan(shareable, on, GUEST).groups[0].schemata.masks.at("L3", 0) == 0x3F0


def test_a_group_with_ways_of_devices_moves_when_it_becomes_exclusive(tmp_path: Path) -> None:
    sim = host_with_guest("skylake-2s")
    sim.write("schemata", "L3:0=00f;1=00f\n")
    shareable = replace(exclusive(6, 1), exclusive=False)
    connection = placed(shareable, sim=sim, run=tmp_path, options=Options())
    assert sim.read(f"{GROUP}/schemata").split("L3:")[1] == "0=3f0;1=010\n"
    assert apply(plan_for(domain(exclusive(5, 1)), connection, options=Options()), connection).outcome == "done"
    assert sim.read(f"{GROUP}/mode") == "exclusive\n"
    assert sim.read(f"{GROUP}/schemata").split("L3:")[1] == "0=1f0;1=010\n"


def test_code_and_data_are_in_one_room_that_no_other_group_has_of_either_type(tmp_path: Path) -> None:
    sim = with_cdp()
    on = read_host(sim)
    assert [control.name for control in on.caches] == ["L3CODE", "L3DATA"]
    connection = placed(exclusive(2, 1, 4, 1, host=on), sim=sim, run=tmp_path)
    host = connection.look(load_ledger(tmp_path))
    group_masks, default = host.group(GROUP).masks, host.default_group.masks  # type: ignore[union-attr]
    assert [group_masks.at(name, 0) for name in ("L3CODE", "L3DATA")] == [0x3, 0xF]
    assert [default.at(name, 0) for name in ("L3CODE", "L3DATA")] == [0x7F0, 0x7F0]
    assert plan_for(domain(exclusive(2, 1, 4, 1, host=on)), connection).steps == ()


def test_code_or_data_without_room_is_named() -> None:
    sim = with_cdp()
    sim.write("schemata", "L3CODE:0=7e0;1=7e0\nL3DATA:0=7f0;1=7f0\n")  # ways 0 to 3 are free of both
    (finding,) = refusal(domain(exclusive(2, 1, 5, 1, host=read_host(sim))), read_host(sim), Options())
    assert finding.message.startswith("no room for 5 ways (11520 KiB) on L3DATA cache 0: 4 free, largest hole 4;")


def test_two_exclusive_groups_with_opposite_needs_of_code_and_data_fit_on_one_cache(tmp_path: Path) -> None:
    sim = with_cdp()
    on = read_host(sim)
    groups = exclusive(2, 1, 4, 1, host=on), exclusive(4, 1, 2, 1, host=on, vcpus=frozenset({2}))
    connection = placed(*groups, sim=sim, run=tmp_path)
    modes = [each.mode for each in connection.look(load_ledger(tmp_path)).control_groups()]
    assert modes == ["shareable", "exclusive", "exclusive"]


def test_a_shareable_group_beside_an_exclusive_one_keeps_out_of_it_with_cdp(tmp_path: Path) -> None:
    sim = with_cdp()
    on = read_host(sim)
    connection = placed(exclusive(4, 1, 1, 1, host=on), sim=sim, run=tmp_path)
    plain = replace(exclusive(2, 1, 2, 1, host=on, vcpus=frozenset({2})), exclusive=False)
    both = domain(exclusive(4, 1, 1, 1, host=on), plain)
    assert apply(plan_for(both, connection), connection).outcome == "done"
    masks = connection.look(load_ledger(tmp_path)).group("cachetune-web-vcpus_2").masks  # type: ignore[union-attr]
    assert masks.at("L3DATA", 0) & 0xF == 0  # type: ignore[operator]


def test_another_guests_exclusive_ways_are_given_to_no_group(tmp_path: Path) -> None:
    sim = host_with_guest("skylake-2s")
    connection = placed(exclusive(2, 1), sim=sim, run=tmp_path)
    other = Guest(None, (Thread(99, 0, "", 0),))
    wanted = replace(domain(exclusive(3, 3, vcpus=frozenset({0}))), name="db")
    host = connection.look(load_ledger(tmp_path))
    made = plan_guests([GuestRequest(wanted, other)], host, SHRINK)
    masks = made.groups[0].schemata.masks
    assert (masks.at("L3", 0), masks.at("L3", 1)) == (0x1C, 0xE)


def test_a_foreign_group_that_is_not_exclusive_is_not_what_was_requested() -> None:
    sim = host_with_guest("skylake-2s")
    sim.write("schemata", ROOM)
    sim.mkdir("batch-vcpus_0-1")
    sim.write("batch-vcpus_0-1/schemata", "L3:0=003;1=001\n")
    sim.write("batch-vcpus_0-1/tasks", "4711,4712\n")
    request = GuestRequest(domain(exclusive(2, 1)), GUEST, "batch")
    with pytest.raises(PlanRefusedError) as caught:
        plan_guests([request], read_host(sim), Options())
    assert [each.message for each in caught.value.findings] == [
        "group 'batch-vcpus_0-1' exists and belongs to another program: its mode is shareable"
    ]
    sim.write("batch-vcpus_0-1/mode", "exclusive\n")
    assert plan_guests([request], read_host(sim), Options()).steps == ()


def test_the_mode_of_a_group_that_libvirt_made_changes_only_if_exclusive_is_requested() -> None:
    sim = host_with_guest("skylake-2s")
    sim.write("schemata", ROOM)
    sim.mkdir("qemu-7-web-vcpus_0-1")
    sim.write("qemu-7-web-vcpus_0-1/schemata", "L3:0=003;1=001\n")
    sim.write("qemu-7-web-vcpus_0-1/tasks", "4711,4712\n")
    asked = replace(domain(exclusive(2, 1)), id=7)
    plain = replace(asked, groups=tuple(replace(each, exclusive=False) for each in asked.groups))
    assert plan(asked, read_host(sim), GUEST).steps == (
        WriteFile("qemu-7-web-vcpus_0-1/mode", "shareable", "exclusive"),
    )
    sim.write("qemu-7-web-vcpus_0-1/mode", "exclusive\n")
    made = plan(plain, read_host(sim), GUEST)
    assert (made.steps, made.groups[0].mode) == ((), "exclusive")


def test_an_obsolete_group_that_must_go_first_is_removed_before_the_mode_changes(tmp_path: Path) -> None:
    sim = host_with_guest("skylake-2s")
    connection = placed(exclusive(5, 5), sim=sim, run=tmp_path)
    made = plan_for(domain(exclusive(7, 7, vcpus=frozenset({2}))), connection)
    kinds = [type(step) for step in made.steps]
    assert kinds.index(RemoveGroup) < kinds.index(WriteFile) < len(kinds) - 1
    assert apply(made, connection).outcome == "done"


@pytest.mark.slow
@settings(max_examples=examples(25), suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_the_kernel_accepts_every_plan_with_exclusive_groups(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    profile = data.draw(st.sampled_from(["skylake-2s", "skylake-2s, cdp", "milan", "haswell", "atom-l2"]))
    sim = with_cdp() if profile.endswith("cdp") else host_with_guest(profile)
    connection = Connection(sim, tmp_path_factory.mktemp("run"))
    on = read_host(sim)
    caches = [(control, i) for control in on.caches for i in control.size_bytes]
    for _ in range(3):
        groups = []
        for vcpus in data.draw(st.sampled_from([[{0, 1}], [{0, 1}, {2}], [{0}, {1}, {2}]])):
            ways = [data.draw(st.integers(max(c.min_cbm_bits, 1), 5)) for c, _ in caches]
            made = exclusive(*ways, vcpus=frozenset(vcpus), host=on)
            groups.append(replace(made, exclusive=data.draw(st.booleans())))
        try:
            planned = plan_for(domain(*groups), connection)
        except PlanRefusedError:
            continue
        report = apply(planned, connection)
        assert report.outcome in ("done", "nothing to do"), report
        assert plan_for(domain(*groups), connection).steps == ()
        host = connection.look(load_ledger(connection.run))
        modes = {each.path: each.mode == "exclusive" for each in host.control_groups()}
        assert modes == {".": False} | {f"cachetune-web-{each.id}": each.exclusive for each in groups}


def test_an_overlap_names_the_ways_and_with_whom() -> None:
    sim = with_cdp()
    sim.mkdir("COS1")
    sim.write("schemata", "L3CODE:0=700;1=700\nL3DATA:0=700;1=700\n")
    sim.write("COS1/schemata", "L3CODE:0=f;1=1\nL3DATA:0=30;1=1\n")
    on = read_host(sim)
    masks = {each.path: each.masks for each in on.control_groups()}
    assert overlap_of("COS1", masks, on.caches) is None
    masks["COS2"] = Masks({"L3CODE": {0: Cbm(0x30)}, "L3DATA": {0: Cbm(0xC0)}})
    assert overlap_of("COS1", masks, on.caches) == Overlap("L3DATA", 0, Cbm(0x30), "COS2")
    assert str(overlap_of("COS2", masks, on.caches)) == "it shares ways 30 of L3CODE cache 0 with COS1"
    assert str(overlap_of(".", masks, on.caches)) == "it shares ways 600 of L3CODE cache 0 with devices"


def test_a_new_group_that_the_kernel_would_refuse_is_refused_in_the_plan(tmp_path: Path) -> None:
    sim = host_with_guest("haswell")
    sim.write("schemata", "L3:0=c0000\n")
    for path, mask in (("batch", "3"), ("batch2", "38")):
        sim.mkdir(path)
        sim.write(f"{path}/schemata", f"L3:0={mask}\n")
        sim.write(f"{path}/mode", "exclusive\n")
    on = read_host(sim)
    wanted = domain(exclusive(3, host=on))
    (finding,) = refusal(wanted, on)
    assert finding.rule == "CT250"
    assert finding.message.endswith("lowest ways of L3 cache 0 that are not exclusive are 4, and masks need 2")
    with pytest.raises(ResctrlError, match="ENOSPC"):
        sim.mkdir("refused")
    sim.write("batch2/mode", "shareable\n")
    assert apply(plan_for(wanted, Connection(sim, tmp_path)), Connection(sim, tmp_path)).outcome == "done"
