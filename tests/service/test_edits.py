"""One change merged into what a guest has: what it has, which group is changed, and what the plan is."""

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachetune.apply.run import Connection
from cachetune.apply.state.ledger import Ledger, load_ledger
from cachetune.domain import Loaded, format_cputune, load
from cachetune.domain.model import Domain
from cachetune.domain.threads import Threads
from cachetune.errors import ApplyRefusedError, GuestVcpusUnknownError, InputError, InvalidDomainError, PlanRefusedError
from cachetune.findings import Source, location_of
from cachetune.guests.model import RunningGuest
from cachetune.host.model import Host
from cachetune.host.read import read_host
from cachetune.plan import Options
from cachetune.plan.steps import effect_of
from cachetune.service.changes import carry_out
from cachetune.service.edits import CacheEdit, Edit, NodeEdit, base_of, check_present, edit_planner, edited
from cachetune.service.members import Members
from cachetune.sim import SimulatedResctrl, load_profile
from cachetune.units import Rate, Size
from tests.samples import GUEST, TIDS, host_with_guest

EMPTY = Ledger()
WAYS_2 = Size(2, "ways")
SHRINK = Options(shrink_default=True)
GROUP = "<cachetune vcpus='0-1'><cache id='0' level='3' type='both' size='4608' unit='KiB'/></cachetune>"
WATCHED = GROUP.replace("</cachetune>", "<monitor level='3' vcpus='0'/></cachetune>")
LIVE = f"<domain type='kvm' id='7'><name>web</name><vcpu>4</vcpu><cputune>{GROUP}</cputune></domain>"
PLACE = Source(document="--l3 0=2ways")


def running(xml: str | None = None, problem: str = "") -> RunningGuest:
    number = 7 if xml else None
    return RunningGuest(
        name="web", uuid="u-u-i-d", source="threads", guest=GUEST, libvirt_id=number, xml=xml, problem=problem
    )


def tuning(text: str = GROUP) -> Loaded:
    loaded = load(f"<cputune>{text}</cputune>".encode(), "guests.d/web.xml", vcpus=4)
    assert loaded.domain
    return loaded


def web(text: str = GROUP) -> Domain:
    domain = tuning(text).domain
    assert domain
    return msgspec.structs.replace(domain, name="web")


def l3(size: Size | None, *ids: int, kind: str = "both") -> CacheEdit:
    return CacheEdit(3, kind, frozenset(ids) or None, size, PLACE)  # type: ignore[arg-type]


def mb(bandwidth: Rate | None, *ids: int) -> NodeEdit:
    return NodeEdit("MB", frozenset(ids) or None, bandwidth, Source(document="--mb"))


def smba(bandwidth: Rate | None, *ids: int) -> NodeEdit:
    return NodeEdit("SMBA", frozenset(ids) or None, bandwidth, Source(document="--smba"))


def host(profile: str = "skylake-2s") -> Host:
    return read_host(SimulatedResctrl(load_profile(profile)))


def result(edit: Edit, text: str = GROUP, on: Host | None = None) -> str:
    """The tuning after the change, without blanks."""
    return " ".join(format_cputune(edited(web(text), edit, on or host())[0]).split())


def cache(cache_id: int, size: str, unit: str, kind: str = "both") -> str:
    return f"<cache id='{cache_id}' level='3' type='{kind}' size='{size}' unit='{unit}'/>"


# what a guest has now


def test_a_tuning_file_comes_before_what_is_applied(sim: SimulatedResctrl) -> None:
    sim.mkdir("cachetune-web")
    sim.write("cachetune-web/schemata", "MB:0=50\n")
    base = base_of(running(), tuning(), read_host(sim), EMPTY)
    assert (base.origin, base.domain.name, base.domain.uuid) == ("file", "web", "u-u-i-d")
    assert [group.vcpus for group in base.domain.groups] == [{0, 1}]


def test_what_is_applied_comes_before_live_xml(sim: SimulatedResctrl) -> None:
    sim.mkdir("qemu-7-web-vcpus_0-1")
    sim.write("qemu-7-web-vcpus_0-1/schemata", "MB:0=50\n")
    base = base_of(running(LIVE), None, read_host(sim), EMPTY)
    assert (base.origin, base.domain.id, base.domain.vcpus) == ("applied", 7, 4)
    assert [node.bandwidth for node in base.domain.groups[0].nodes] == [Rate(50)]


def test_groups_of_ours_come_before_those_of_libvirt(sim: SimulatedResctrl) -> None:
    for path, value in (("qemu-7-web-vcpus_0-1", 50), ("cachetune-web-vcpus_0-1", 60)):
        sim.mkdir(path)
        sim.write(f"{path}/schemata", f"MB:0={value}\n")
    base = base_of(running(LIVE), None, read_host(sim), EMPTY)
    assert (base.machine_name, base.domain.id) == ("cachetune-web", None)
    assert [node.bandwidth for node in base.domain.groups[0].nodes] == [Rate(60)]


def test_live_xml_counts_where_nothing_is_applied() -> None:
    base = base_of(running(LIVE), None, host(), EMPTY)
    assert (base.origin, base.domain.id) == ("libvirt", 7)
    assert [group.vcpus for group in base.domain.groups] == [{0, 1}]


def test_a_guest_with_nothing_has_an_empty_domain_under_our_name() -> None:
    base = base_of(running(LIVE.replace(GROUP, "")), None, host(), EMPTY)
    assert (base.origin, base.domain.groups, base.domain.id, base.domain.vcpus) == ("nothing", (), None, 4)


def test_a_file_beside_tuning_in_live_xml_is_refused() -> None:
    with pytest.raises(InputError, match="both its tuning file and its live XML request tuning"):
        base_of(running(LIVE), tuning(), host(), EMPTY)


def test_a_file_of_a_guest_with_another_uuid_is_refused() -> None:
    xml = f"<domain type='kvm'><name>web</name><uuid>{'1' * 8}-1111-1111-1111-{'1' * 12}</uuid><cputune/></domain>"
    with pytest.raises(InputError, match="the running guest has UUID u-u-i-d, its tuning file has 1111"):
        base_of(running(), load(xml.encode(), "guests.d/web.xml"), host(), EMPTY)


def test_an_invalid_file_is_refused_with_its_findings() -> None:
    broken = load(b"<cputune><cachetune vcpus='0'><cache/></cachetune></cputune>", "web.xml")
    with pytest.raises(InvalidDomainError) as raised:
        base_of(running(), broken, host(), EMPTY)
    assert raised.value.findings == broken.findings


def test_what_no_request_describes_is_a_warning(sim: SimulatedResctrl) -> None:
    sim.mkdir("cachetune-web-vcpus_0-1")
    sim.write("cachetune-web-vcpus_0-1/schemata", "L3:0=7\n")
    base = base_of(running(), None, read_host(sim), EMPTY)
    assert [finding.rule for finding in base.findings] == ["CT254"]


# which group


def test_the_only_group_is_changed_without_being_named() -> None:
    assert cache(0, "2", "ways") in result(Edit(caches=(l3(WAYS_2, 0),)))


@pytest.mark.parametrize(
    ("scope", "text", "message", "hint"),
    [
        (None, "", "guest 'web' has no group that could be changed", "pass --vcpus LIST"),
        (
            None,
            GROUP + GROUP.replace("0-1", "2"),
            "guest 'web' has several groups: vCPUs 0-1 and vCPU 2",
            "choose one with --vcpus or --threads",
        ),
        ({1, 2}, GROUP, "vCPUs 1-2 cannot be a group of guest 'web', which has groups of vCPUs 0-1", "--clear"),
        (set(), GROUP, "the whole process cannot be a group of guest 'web', which has groups of vCPUs 0-1", "--clear"),
        ({3, 4}, GROUP, "guest 'web' has no vCPU 4", "it has vCPUs 0-3"),
    ],
)
def test_a_group_that_is_not_clear_is_refused(scope: set[int] | None, text: str, message: str, hint: str) -> None:
    chosen = None if scope is None else Members(frozenset(scope) or None)
    with pytest.raises(InputError) as raised:
        edited(web(text), Edit(members=chosen, caches=(l3(WAYS_2, 0),)), host())
    assert str(raised.value) == message
    assert hint in raised.value.hint


def test_a_new_group_is_added_and_the_others_stay() -> None:
    found = result(Edit(members=Members(frozenset({2, 3})), nodes=(mb(Rate(30), 1),)))
    assert cache(0, "4608", "KiB") in found
    assert "<memorytune vcpus='2-3'> <node id='1' bandwidth='30'/> </memorytune>" in found


def test_a_percentage_and_a_rate_of_a_node_stay_until_that_node_is_changed() -> None:
    both = "<node id='0' bandwidth='50' unit='%'/> <node id='0' bandwidth='12.5' unit='GB/s'/>"
    text = f"<memorytune vcpus='0-1'>{both}</memorytune>"
    assert both in result(Edit(nodes=(mb(Rate(30), 1),)), text)
    changed = result(Edit(nodes=(mb(Rate(30, "%"), 0),)), text)
    assert "<memorytune vcpus='0-1'> <node id='0' bandwidth='30' unit='%'/> </memorytune>" in changed


def test_the_whole_process_can_be_a_group() -> None:
    assert "<memorytune> <node id='0' bandwidth='30'/> </memorytune>" in result(
        Edit(members=Members(None), nodes=(mb(Rate(30), 0),)), ""
    )


def test_other_threads_can_be_a_group_beside_that_of_vcpus() -> None:
    found = result(Edit(members=Members.of_threads(Threads("emulator")), nodes=(mb(Rate(30), 0),)))
    assert "<memorytune threads='emulator'> <node id='0' bandwidth='30'/> </memorytune>" in found
    inner = found.removeprefix("<cputune>").removesuffix("</cputune>")
    with pytest.raises(InputError, match="has several groups: vCPUs 0-1 and emulator threads"):
        result(Edit(nodes=(mb(Rate(40), 0),)), inner)


def test_iothreads_that_overlap_with_a_group_are_refused() -> None:
    text = "<memorytune threads='iothreads'><node id='0' bandwidth='30'/></memorytune>"
    one = Members.of_threads(Threads("iothreads", frozenset({1})))
    with pytest.raises(InputError, match="iothread 1 cannot be a group of guest 'web', which has groups of iothreads"):
        result(Edit(members=one, nodes=(mb(Rate(40), 0),)), text)
    assert "<monitor threads='iothreads:1'/>" in result(Edit(monitors=(one,)), text).replace(" level='3'", "")


def test_vcpus_none_of_which_runs_are_refused() -> None:
    with pytest.raises(InputError, match="guest 'web' has no vCPUs 8-9") as raised:
        check_present(Edit(members=Members(frozenset({8, 9}))), web(), running())
    assert raised.value.hint == "it runs vCPUs 0-3"
    check_present(Edit(members=Members(frozenset({3, 4}))), web(), running())


# which values


def test_a_value_without_ids_is_for_all_caches_and_nodes_of_the_host() -> None:
    found = result(Edit(caches=(l3(WAYS_2),), nodes=(mb(Rate(50, "%")),)))
    assert cache(0, "2", "ways") + " " + cache(1, "2", "ways") in found
    assert "<node id='0' bandwidth='50' unit='%'/> <node id='1' bandwidth='50' unit='%'/>" in found


def test_slow_memory_has_a_separate_bandwidth() -> None:
    text = "<memorytune vcpus='0-1'><node id='0' bandwidth='64'/></memorytune>"
    both = result(Edit(nodes=(smba(Rate(128), 0),)), text, host("turin"))
    assert "<node id='0' bandwidth='64'/> <node id='0' resource='SMBA' bandwidth='128'/>" in both
    every = result(Edit(nodes=(smba(Rate(128)),)), text, host("turin"))
    assert (every.count("bandwidth='64'"), every.count("resource='SMBA' bandwidth='128'")) == (1, 8)
    text = both.replace("<cputune> ", "").replace(" </cputune>", "")
    assert "SMBA" not in result(Edit(nodes=(smba(None),)), text, host("turin"))
    assert result(Edit(nodes=(mb(None),)), text, host("turin")).count("<node") == 1


def test_later_values_replace_earlier_ones() -> None:
    found = result(Edit(caches=(l3(WAYS_2), l3(Size(3, "ways"), 1))))
    assert cache(0, "2", "ways") + " " + cache(1, "3", "ways") in found


def test_none_drops_a_request_and_a_group_without_requests_goes() -> None:
    assert result(Edit(caches=(l3(None, 0),))) == ""
    assert result(Edit(caches=(l3(None),))) == ""
    assert cache(0, "4608", "KiB") in result(Edit(caches=(l3(None, 1),)))
    node = "<memorytune vcpus='0-1'><node id='0' bandwidth='50'/></memorytune>"
    assert "node" not in result(Edit(nodes=(mb(None),)), GROUP + node)


def test_code_and_data_replace_both_and_the_reverse() -> None:
    code = Edit(caches=(l3(WAYS_2, 0, kind="code"), l3(WAYS_2, 0, kind="data")))
    found = result(code, on=host("sapphire-rapids-cdp"))
    assert cache(0, "2", "ways", "code") + " " + cache(0, "2", "ways", "data") in found
    assert "both" not in found
    both = f"<cachetune vcpus='0-1'>{cache(0, '2', 'MiB', 'code')}{cache(0, '2', 'MiB', 'data')}</cachetune>"
    assert result(Edit(caches=(l3(WAYS_2, 0),)), both).count("<cache ") == 1


def test_clear_drops_everything_of_the_group_first() -> None:
    assert result(Edit(clear=True), WATCHED) == ""
    found = result(Edit(clear=True, nodes=(mb(Rate(50), 0),)), WATCHED)
    assert found == "<cputune> <memorytune vcpus='0-1'> <node id='0' bandwidth='50'/> </memorytune> </cputune>"


def test_a_group_becomes_exclusive_and_shareable_again() -> None:
    found = result(Edit(exclusive=True))
    assert "<cachetune vcpus='0-1' mode='exclusive'>" in found
    inner = found.removeprefix("<cputune>").removesuffix("</cputune>")
    assert "mode=" in result(Edit(caches=(l3(WAYS_2, 1),)), inner), "another change leaves the mode"
    assert "mode=" not in result(Edit(exclusive=False), inner)
    assert "mode=" not in result(Edit(clear=True, caches=(l3(WAYS_2, 1),)), inner)


def test_a_group_without_a_cache_cannot_be_exclusive() -> None:
    with pytest.raises(InputError, match="the group of vCPUs 0-1 requests no cache, so it cannot be exclusive"):
        edited(web(), Edit(caches=(l3(None),), nodes=(mb(Rate(50)),), exclusive=True), host())


def test_monitors_are_added_once_and_removed_together() -> None:
    once = Edit(monitors=(Members(frozenset({0})), Members(frozenset({1})), Members(frozenset({0}))))
    with_both = result(once)
    assert with_both.count("<monitor ") == 2
    inner = with_both.removeprefix("<cputune>").removesuffix("</cputune>")
    assert result(once, inner) == with_both
    assert "<monitor " not in result(Edit(no_monitors=True), inner)


@pytest.mark.parametrize(
    ("text", "added", "message"),
    [
        (GROUP, ({5},), "guest 'web' has no vCPU 5"),
        (GROUP, ({3},), "vCPU 3 cannot be monitored in the group of vCPUs 0-1"),
        (GROUP, ({0}, {1, 2}), "vCPUs 1-2 cannot be monitored in the group of vCPUs 0-1"),
        (GROUP.replace("0-1", "0-2"), ({0, 1}, {1, 2}), "a monitor of vCPUs 1-2 would overlap that of vCPUs 0-1"),
        (WATCHED.replace("0-1", "0-2"), ({0, 1},), "a monitor of vCPUs 0-1 would overlap that of vCPU 0"),
    ],
)
def test_a_monitor_that_the_group_cannot_have_is_named(text: str, added: tuple[set[int], ...], message: str) -> None:
    with pytest.raises(InputError) as raised:
        edited(web(text), Edit(monitors=tuple(Members(frozenset(vcpus)) for vcpus in added)), host())
    assert str(raised.value) == message


def test_a_monitor_of_the_whole_group_may_overlap_others() -> None:
    assert result(Edit(monitors=(Members(frozenset({0, 1})),)), WATCHED).count("<monitor ") == 2


# the plan


def test_nodes_with_the_same_mistake_are_named_together() -> None:
    for rate, message in (
        (Rate(500, "MiB/s"), "nodes 0-1: bandwidth 500 MiB/s cannot be converted: this host counts percent"),
        (Rate(55), "nodes 0-1: bandwidth 55 is not a multiple of 10"),
    ):
        with pytest.raises(PlanRefusedError) as raised:
            edit_planner(running(), tuning(), Edit(nodes=(mb(rate),)), SHRINK)(host(), EMPTY)
        assert [(found.document, found.message) for found in raised.value.findings] == [("--mb", message)]


@pytest.mark.parametrize(
    ("edit", "rule", "hint"),
    [
        (Edit(caches=(l3(WAYS_2, 5),)), "CT203", "the host has L3 caches 0-1"),
        (Edit(caches=(CacheEdit(2, "both", None, WAYS_2, PLACE),)), "CT201", "the host controls L3 only"),
        (Edit(caches=(l3(Size(5 << 20), 0),)), "CT205", "nearest valid: 4608 KiB or 6912 KiB; or plan with --round"),
    ],
)
def test_a_value_that_the_host_cannot_have_names_the_option(
    connection: Connection, edit: Edit, rule: str, hint: str
) -> None:
    with pytest.raises(PlanRefusedError) as raised:
        carry_out(edit_planner(running(), tuning(), edit, SHRINK), connection)
    (finding,) = [found for found in raised.value.findings if found.severity == "error"]
    assert (finding.rule, location_of(finding, "web"), finding.hint) == (rule, "--l3 0=2ways: ", hint)


def test_one_value_of_what_is_applied_is_changed_and_nothing_else(connection: Connection) -> None:
    first = Edit(members=Members(frozenset({0, 1})), caches=(l3(WAYS_2, 0),), nodes=(mb(Rate(50), 0),))
    second = Edit(nodes=(mb(Rate(30), 1),))
    for edit in (first, second):
        assert carry_out(edit_planner(running(), None, edit, SHRINK), connection).outcome == "done"
    host = connection.look(load_ledger(connection.run))
    group = host.group("cachetune-web-vcpus_0-1")
    assert group
    assert (group.masks.at("L3", 0), group.bandwidth.row("MB"), group.tids) == (3, {0: 50, 1: 30}, TIDS[:2])
    again = carry_out(edit_planner(running(), None, second, SHRINK), connection)
    assert again.outcome == "nothing to do"


def test_a_cleared_group_is_removed(connection: Connection) -> None:
    members = Members(frozenset({0, 1}))
    carry_out(edit_planner(running(), None, Edit(members=members, caches=(l3(WAYS_2, 0),)), SHRINK), connection)
    report = carry_out(edit_planner(running(), None, Edit(clear=True), SHRINK), connection)
    assert report.outcome == "done"
    host = connection.look(load_ledger(connection.run))
    assert host.group("cachetune-web-vcpus_0-1") is None
    assert load_ledger(connection.run).guests == {}


def test_groups_under_a_machine_name_of_the_operator_are_changed(connection: Connection) -> None:
    from cachetune.plan.request import GuestRequest
    from cachetune.service.plans import planner_of

    carry_out(planner_of([GuestRequest(web(), GUEST, "gold")], SHRINK), connection)
    carry_out(edit_planner(running(), None, Edit(nodes=(mb(Rate(30), 0),)), SHRINK), connection)
    host = connection.look(load_ledger(connection.run))
    assert [group.path for group in host.control_groups()] == [".", "gold-vcpus_0-1"]
    assert host.groups[1].bandwidth.at("MB", 0) == 30


def test_libvirts_groups_are_changed_under_their_name(sim: SimulatedResctrl) -> None:
    sim.mkdir("qemu-7-web-vcpus_0-1")
    sim.write("qemu-7-web-vcpus_0-1/schemata", "MB:0=50\n")
    for tid in TIDS[:2]:
        sim.write("qemu-7-web-vcpus_0-1/tasks", str(tid))
    made = edit_planner(running(LIVE), None, Edit(nodes=(mb(Rate(30), 1),)), Options(adopt=True))(read_host(sim), EMPTY)
    assert {path for step in made.steps for path in effect_of(step).groups} == {"qemu-7-web-vcpus_0-1"}


def test_libvirts_groups_are_changed_only_with_adopt(connection: Connection, sim: SimulatedResctrl) -> None:
    sim.mkdir("qemu-7-web-vcpus_0-1")
    sim.write("qemu-7-web-vcpus_0-1/schemata", "MB:0=50\n")
    planner = edit_planner(running(LIVE), None, Edit(nodes=(mb(Rate(30), 1),)), Options())
    with pytest.raises(ApplyRefusedError) as raised:
        carry_out(planner, connection)
    assert raised.value.finding.rule == "CT508"
    assert carry_out(planner, connection, adopt=True).outcome == "done"
    assert read_host(sim).group("qemu-7-web-vcpus_0-1").bandwidth.row("MB") == {0: 50, 1: 30}  # type: ignore[union-attr]


def test_a_guest_whose_vcpus_are_unknown_is_refused(connection: Connection) -> None:
    with pytest.raises(GuestVcpusUnknownError):
        carry_out(
            edit_planner(running(problem="no names"), tuning(), Edit(clear=False, nodes=(mb(Rate(30)),)), SHRINK),
            connection,
        )


@given(st.lists(st.sampled_from([l3(WAYS_2, 0), l3(None), l3(Size(1, "ways"), 1), l3(Size(10, "%"))]), max_size=4))
def test_the_same_change_twice_is_the_same_change(edits: list[CacheEdit]) -> None:
    on, edit = host(), Edit(members=Members(frozenset({0, 1})), caches=tuple(edits))
    once = edited(web(), edit, on)[0]
    assert edited(once, edit, on)[0] == once


def test_nothing_on_the_host_is_changed_by_a_refused_change(tmp_path: Path) -> None:
    sim = host_with_guest("skylake-2s")
    before = sim.tree()
    with pytest.raises(PlanRefusedError):
        carry_out(
            edit_planner(running(), tuning(), Edit(caches=(l3(Size(11, "ways"), 0),)), SHRINK),
            Connection(sim, tmp_path),
        )
    assert sim.tree() == before
