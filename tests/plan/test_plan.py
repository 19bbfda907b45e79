"""Plans. Each test has domain XML, a simulated host, and the steps that follow from them."""

import msgspec
import pytest

from cachetune.cbm import Bandwidth, Cbm
from cachetune.domain import load
from cachetune.domain.model import Domain
from cachetune.errors import GroupConflictError
from cachetune.guests.model import Guest, Thread
from cachetune.host.model import Host
from cachetune.host.read import read_host
from cachetune.plan import GuestRequest, Options, Plan, PlanRefusedError, check, plan, plan_guests
from cachetune.plan.steps import CreateGroup, MoveTasks, RemoveGroup, Step, WriteSchemata
from cachetune.sim import SimulatedResctrl, load_profile
from tests.samples import GUEST, TIDS

SHRINK = Options(shrink_default=True)
WAY = 2304  # KiB in one way of skylake-2s


def parse(cputune: str, attributes: str = "") -> Domain:
    xml = f"<domain type='kvm'{attributes}><name>web</name><vcpu>4</vcpu><cputune>{cputune}</cputune></domain>"
    loaded = load(xml.encode(), "web.xml")
    assert loaded.domain is not None, loaded.findings
    return loaded.domain


def fresh(profile: str = "skylake-2s", *writes: tuple[str, str]) -> SimulatedResctrl:
    sim = SimulatedResctrl(load_profile(profile))
    for tid in TIDS:
        sim.add_task(tid)
    for path, text in writes:
        group = path.rpartition("/")[0]
        if group and not sim.exists(group):
            sim.mkdir(group)
        sim.write(path, text)
    return sim


def host(profile: str = "skylake-2s", *writes: tuple[str, str]) -> Host:
    return read_host(fresh(profile, *writes))


def l3(ways: int, cache_id: int = 0, kind: str = "both") -> str:
    return f"<cache id='{cache_id}' level='3' type='{kind}' size='{ways * WAY}' unit='KiB'/>"


def refusal(domain: Domain, on: Host, guest: Guest | None = GUEST, options: Options = Options()) -> list[str]:  # noqa: B008
    with pytest.raises(PlanRefusedError) as caught:
        plan(domain, on, guest, options)
    return [f.rule for f in caught.value.findings if f.severity == "error"]


def writes(made: Plan) -> dict[str, str]:
    return {s.path: s.after for s in made.steps if isinstance(s, WriteSchemata)}


ROOM = ("schemata", "L3:0=01f;1=01f\n")


def test_on_a_fresh_host_nothing_fits_and_the_hint_names_shrink_default() -> None:
    with pytest.raises(PlanRefusedError) as caught:
        plan(parse(f"<cachetune vcpus='0-1'>{l3(3)}</cachetune>"), host(), GUEST)
    (finding,) = caught.value.findings
    assert finding.rule == "CT207"
    assert "0 free, largest hole 0" in finding.message
    assert "the default group has 7ff" in finding.message
    assert "--shrink-default: the default group would keep 7f8 of 7ff" in finding.hint
    assert (finding.line, finding.path) == (1, "/domain/cputune/cachetune[1]/cache[1]/@size")


def test_the_written_text_matches_libvirts_and_other_caches_copy_the_default_group() -> None:
    made = plan(parse(f"<cachetune vcpus='0-1'>{l3(1)}</cachetune>"), host("skylake-2s", ROOM), GUEST)
    assert writes(made) == {"cachetune-web-vcpus_0-1": "L3:0=020;1=01f\n"}


def test_bandwidth_is_written_only_for_the_requested_nodes() -> None:
    made = plan(
        parse("<memorytune vcpus='0-1'><node id='0' bandwidth='50'/></memorytune>"), host("skylake-2s", ROOM), GUEST
    )
    assert writes(made) == {"cachetune-web-vcpus_0-1": "L3:0=01f;1=01f\nMB:0=50\n"}


def test_code_and_data_are_placed_apart() -> None:
    on = host("sapphire-rapids-cdp", ("schemata", "L3CODE:0=7f\nL3DATA:0=3\n"))
    way = next(c for c in on.caches if c.name == "L3CODE").way_bytes(0)
    xml = "".join(f"<cache id='0' level='3' type='{t}' size='{2 * (way or 0)}' unit='B'/>" for t in ("code", "data"))
    made = plan(parse(f"<cachetune vcpus='0'>{xml}</cachetune>"), on, GUEST)
    masks = made.groups[0].schemata.masks
    assert (masks.at("L3CODE", 0), masks.at("L3DATA", 0)) == (0x180, 0xC)


def test_a_monitor_of_all_vcpus_is_the_control_group_itself() -> None:
    xml = f"<cachetune vcpus='0-1'>{l3(1)}<monitor level='3' vcpus='0-1'/><monitor level='3' vcpus='0'/></cachetune>"
    made = plan(parse(xml), host("skylake-2s", ROOM), GUEST)
    group = "cachetune-web-vcpus_0-1"
    assert [g.path for g in made.groups] == [group, f"{group}/mon_groups/cachetune-web-vcpus_0"]
    assert [s for s in made.steps if isinstance(s, MoveTasks)] == [
        MoveTasks(group, ".", TIDS[:2]),
        MoveTasks(f"{group}/mon_groups/cachetune-web-vcpus_0", group, TIDS[:1]),
    ]


def test_a_monitor_without_an_allocation_belongs_to_the_default_group_and_costs_no_closid() -> None:
    made = plan(parse("<cachetune vcpus='3'><monitor level='3' vcpus='3'/></cachetune>"), host(), GUEST)
    assert made.steps == (
        CreateGroup("mon_groups/cachetune-web-vcpus_3"),
        MoveTasks("mon_groups/cachetune-web-vcpus_3", ".", TIDS[3:]),
    )
    assert (made.summary.closids.used, made.summary.rmids.used) == (1, 2)


def test_a_whole_process_group_takes_every_thread() -> None:
    emulator = Guest(TIDS[0], (*GUEST.threads, Thread(9999, 0, "qemu-system-x86")))
    made = plan(parse(f"<cachetune>{l3(1)}</cachetune>"), host("skylake-2s", ROOM), emulator)
    assert [s.path for s in made.steps if isinstance(s, CreateGroup)] == ["cachetune-web"]
    assert [s.tids for s in made.steps if isinstance(s, MoveTasks)] == [(*TIDS, 9999)]


def test_emulator_threads_stay_where_they_are_without_a_whole_process_group() -> None:
    emulator = Guest(TIDS[0], (*GUEST.threads, Thread(9999, 0, "qemu-system-x86")))
    made = plan(parse(f"<cachetune vcpus='0-3'>{l3(1)}</cachetune>"), host("skylake-2s", ROOM), emulator)
    assert 9999 not in {tid for s in made.steps if isinstance(s, MoveTasks) for tid in s.tids}


def test_shrinking_the_default_group_is_a_separate_first_step() -> None:
    made = plan(parse(f"<cachetune vcpus='0-1'>{l3(3)}</cachetune>"), host(), GUEST, SHRINK)
    assert made.steps[0] == WriteSchemata(".", "L3:0=7ff\n", "L3:0=7f8\n")
    assert writes(made)["cachetune-web-vcpus_0-1"] == "L3:0=007;1=7ff\n"


def test_groups_of_ours_that_share_the_default_groups_ways_shrink_with_it() -> None:
    on = host("skylake-2s", ("schemata", "L3:0=7fe\n"), ("cachetune-db-vcpus_0/schemata", "L3:0=001;1=7ff\n"))
    made = plan(parse(f"<cachetune vcpus='0'>{l3(2, 1)}</cachetune>"), on, GUEST, SHRINK)
    assert writes(made)["."] == "L3:1=7fc\n"
    assert writes(made)["cachetune-db-vcpus_0"] == "L3:1=7fc\n"
    assert writes(made)["cachetune-web-vcpus_0"] == "L3:0=7fe;1=003\n"


def test_foreign_groups_never_shrink() -> None:
    on = host("skylake-2s", ("schemata", "L3:0=7fe\n"), ("COS1/schemata", "L3:0=001;1=7ff\n"))
    assert refusal(parse(f"<cachetune vcpus='0'>{l3(2, 1)}</cachetune>"), on, GUEST, SHRINK) == ["CT207"]


def applied(sim: SimulatedResctrl, made: Plan) -> None:
    for step in made.steps:
        prefix = "" if step.path == "." else f"{step.path}/"
        match step:
            case CreateGroup(path):
                sim.mkdir(path)
            case WriteSchemata(_, _, after):
                sim.write(f"{prefix}schemata", after)
            case MoveTasks(_, _, tids):
                sim.write(f"{prefix}tasks", ",".join(map(str, tids)))
            case RemoveGroup(path):
                sim.rmdir(path)


def test_a_changed_size_shrinks_before_another_group_grows() -> None:
    sim = fresh("skylake-2s", ("schemata", "L3:0=600;1=600\n"))
    first = f"<cachetune vcpus='0'>{l3(5)}</cachetune><cachetune vcpus='1'>{l3(4)}</cachetune>"
    applied(sim, plan(parse(first), read_host(sim), GUEST))
    second = f"<cachetune vcpus='0'>{l3(2)}</cachetune><cachetune vcpus='1'>{l3(7)}</cachetune>"
    made = plan(parse(second), read_host(sim), GUEST)
    assert made.steps == (
        WriteSchemata("cachetune-web-vcpus_0", "L3:0=01f\n", "L3:0=003\n"),
        WriteSchemata("cachetune-web-vcpus_1", "L3:0=1e0\n", "L3:0=1fc\n"),
    )


def test_an_obsolete_group_is_removed_last() -> None:
    sim = fresh("skylake-2s", ROOM)
    applied(sim, plan(parse(f"<cachetune vcpus='0-1'>{l3(2)}</cachetune>"), read_host(sim), GUEST))
    made = plan(parse(f"<cachetune vcpus='0'>{l3(2)}</cachetune>"), read_host(sim), GUEST)
    assert [type(s).__name__ for s in made.steps] == [
        "CreateGroup",
        "WriteSchemata",
        "MoveTasks",
        "MoveTasks",
        "RemoveGroup",
    ]
    assert made.steps[2:] == (
        MoveTasks("cachetune-web-vcpus_0", "cachetune-web-vcpus_0-1", TIDS[:1]),
        MoveTasks(".", "cachetune-web-vcpus_0-1", TIDS[1:2]),
        RemoveGroup("cachetune-web-vcpus_0-1", "L3:0=060;1=01f\nMB:0=100;1=100\n"),
    )


def test_an_obsolete_group_is_removed_first_when_its_ways_are_needed() -> None:
    sim = fresh("skylake-2s", ROOM)
    applied(sim, plan(parse(f"<cachetune vcpus='0-1'>{l3(5)}</cachetune>"), read_host(sim), GUEST))
    made = plan(parse(f"<cachetune vcpus='0'>{l3(5)}</cachetune>"), read_host(sim), GUEST)
    assert [type(s).__name__ for s in made.steps][:2] == ["MoveTasks", "RemoveGroup"]
    applied(sim, made)
    assert sim.read("cachetune-web-vcpus_0/tasks").split() == [str(TIDS[0])]


def test_bandwidth_that_is_no_longer_requested_returns_to_the_maximum() -> None:
    sim = fresh("skylake-2s", ROOM)
    both = "<memorytune vcpus='0'><node id='0' bandwidth='50'/><node id='1' bandwidth='30'/></memorytune>"
    applied(sim, plan(parse(both), read_host(sim), GUEST))
    one = "<memorytune vcpus='0'><node id='0' bandwidth='50'/></memorytune>"
    assert writes(plan(parse(one), read_host(sim), GUEST)) == {"cachetune-web-vcpus_0": "MB:1=100\n"}


@pytest.mark.parametrize("profile", ["skylake-2s", "sapphire-rapids-cdp", "milan", "haswell", "genoa"])
def test_planning_again_right_after_applying_finds_no_changes(profile: str) -> None:
    sim = fresh(profile)
    on = read_host(sim)
    cache = on.caches[-1]
    size = 3 * (cache.way_bytes(0) or 0)
    wanted = f"<cache id='0' level='{cache.level}' type='{cache.type}' size='{size}' unit='B'/>"
    xml = f"<cachetune vcpus='0-1'>{wanted}</cachetune>"
    applied(sim, plan(parse(xml), on, GUEST, SHRINK))
    again = plan(parse(xml), read_host(sim), GUEST, SHRINK)
    assert again.steps == ()
    assert [g.action for g in again.groups] == ["keep"]


LIBVIRTS = "qemu-7-web-vcpus_0-1"


def placed_by_libvirt(*more: tuple[str, str]) -> SimulatedResctrl:
    """A host with a shrunk default group and a guest that libvirt has placed."""
    schemata, tasks = (f"{LIBVIRTS}/schemata", "L3:0=020;1=01f\n"), (f"{LIBVIRTS}/tasks", f"{TIDS[0]},{TIDS[1]}")
    return fresh("skylake-2s", ROOM, schemata, tasks, *more)


def live(ways: int, number: int = 7) -> Domain:
    return parse(f"<cachetune vcpus='0-1' id='vcpus_0-1'>{l3(ways)}</cachetune>", f" id='{number}'")


def test_a_guest_placed_by_libvirt_needs_no_steps() -> None:
    made = plan(live(1), read_host(placed_by_libvirt()), GUEST)
    assert made.steps == ()
    assert [(g.path, g.action) for g in made.groups] == [(LIBVIRTS, "keep")]
    assert "CT222" not in [f.rule for f in made.warnings]


@pytest.mark.parametrize(
    ("drift", "step"),
    [
        ((f"{LIBVIRTS}/schemata", "L3:0=060\n"), WriteSchemata(LIBVIRTS, "L3:0=060\n", "L3:0=020\n")),
        (("tasks", str(TIDS[1])), MoveTasks(LIBVIRTS, ".", (TIDS[1],))),
    ],
    ids=["mask", "thread"],
)
def test_drift_of_libvirts_groups_is_planned_with_a_warning(drift: tuple[str, str], step: Step) -> None:
    made = plan(live(1), read_host(placed_by_libvirt(drift)), GUEST)
    assert made.steps == (step,)
    assert [f.rule for f in made.warnings] == ["CT222"]


@pytest.mark.parametrize("adopt", [True, False])
def test_adopt_is_advised_unless_it_is_given_and_the_plan_is_the_same(adopt: bool) -> None:
    drifted = read_host(placed_by_libvirt((f"{LIBVIRTS}/schemata", "L3:0=060\n")))
    made = plan(live(1), drifted, GUEST, Options(adopt=adopt))
    assert made.steps == plan(live(1), drifted, GUEST).steps
    (warning,) = made.warnings
    assert (warning.rule, "--adopt" in warning.hint) == ("CT222", not adopt)


def test_a_mask_that_libvirt_copied_from_the_default_group_need_not_follow_it() -> None:
    sim = placed_by_libvirt(("schemata", "L3:1=003\n"))
    assert plan(live(1), read_host(sim), GUEST).steps == ()


def test_groups_of_an_earlier_run_of_the_guest_are_left_alone() -> None:
    assert refusal(live(1, number=8), read_host(placed_by_libvirt())) == ["CT402", "CT402"]


def test_a_foreign_group_with_the_required_name_is_never_changed() -> None:
    sim = placed_by_libvirt()
    sim.mkdir("qemu-7-web-gold")  # a name in libvirt's form, but not one of this guest's groups
    domain = parse(f"<cachetune vcpus='2' id='gold'>{l3(2)}</cachetune>", " id='7'")
    assert "CT216" in refusal(domain, read_host(sim))


def test_several_guests_in_one_plan_get_separate_ways() -> None:
    sim = fresh("skylake-2s")
    web, db = parse(f"<cachetune vcpus='0'>{l3(2)}</cachetune>"), parse(f"<cachetune vcpus='0'>{l3(3)}</cachetune>")
    requests = [
        GuestRequest(web, Guest(TIDS[0], GUEST.threads[:1])),
        GuestRequest(msgspec.structs.replace(db, name="db"), Guest(TIDS[1], (Thread(TIDS[1], vcpu=0),))),
    ]
    made = plan_guests(requests, read_host(sim), SHRINK)
    assert writes(made) == {
        ".": "L3:0=7e0\n",
        "cachetune-web-vcpus_0": "L3:0=003;1=7ff\n",
        "cachetune-db-vcpus_0": "L3:0=01c;1=7ff\n",
    }
    assert [(guest.name, guest.pid) for guest in made.guests] == [("web", TIDS[0]), ("db", TIDS[1])]
    applied(sim, made)
    assert sim.read("cachetune-db-vcpus_0/tasks").split() == [str(TIDS[1])]
    assert plan_guests(requests, read_host(sim), SHRINK).steps == ()


def test_several_guests_are_planned_together_or_not_at_all() -> None:
    web, db = parse(f"<cachetune vcpus='0'>{l3(2)}</cachetune>"), parse(f"<cachetune vcpus='0'>{l3(9)}</cachetune>")
    with pytest.raises(PlanRefusedError) as caught:
        plan_guests([GuestRequest(web), GuestRequest(msgspec.structs.replace(db, name="db"))], host(), SHRINK)
    assert "CT207" in [f.rule for f in caught.value.findings]


def test_two_guests_in_one_plan_cannot_share_group_names() -> None:
    web = parse(f"<cachetune vcpus='0'>{l3(2)}</cachetune>")
    with pytest.raises(GroupConflictError, match="'web' and 'w_eb' would have the same group names"):
        plan_guests([GuestRequest(web), GuestRequest(msgspec.structs.replace(web, name="w_eb"))], host(), SHRINK)
    odd = parse(f"<cachetune vcpus='0' id='db'>{l3(2)}</cachetune>", " id='3'")
    odd, db = msgspec.structs.replace(odd, id=None), parse(f"<cachetune>{l3(1)}</cachetune>")
    with pytest.raises(GroupConflictError, match="the same group 'cachetune-web-db'"):
        plan_guests([GuestRequest(odd), GuestRequest(msgspec.structs.replace(db, name="web-db"))], host(), SHRINK)


def test_threads_in_foreign_groups_move_only_with_take_tasks() -> None:
    sim = fresh("skylake-2s", ROOM, ("BestEffort/schemata", "L3:0=01f;1=01f\n"), ("BestEffort/tasks", str(TIDS[0])))
    domain = parse(f"<cachetune vcpus='0-1'>{l3(1)}</cachetune>")
    assert refusal(domain, read_host(sim)) == ["CT402"]
    made = plan(domain, read_host(sim), GUEST, Options(take_tasks=True))
    assert MoveTasks("cachetune-web-vcpus_0-1", "BestEffort", TIDS[:1]) in made.steps


def test_threads_in_another_guests_group_are_not_moved() -> None:
    sim = fresh("skylake-2s", ROOM, ("cachetune-db-vcpus_0/schemata", "L3:0=01f;1=01f\n"))
    sim.write("cachetune-db-vcpus_0/tasks", str(TIDS[0]))
    domain = parse(f"<cachetune vcpus='0-1'>{l3(1)}</cachetune>")
    with pytest.raises(PlanRefusedError) as caught:
        plan(domain, read_host(sim), GUEST)
    assert [(f.rule, "another guest" in f.message) for f in caught.value.findings] == [("CT402", True)]


def test_an_invalid_size_causes_no_second_finding_about_free_ways() -> None:
    wrong = parse("<cachetune vcpus='0'><cache id='0' level='3' type='both' size='7000' unit='KiB'/></cachetune>")
    assert [f.rule for f in check(wrong, host())] == ["CT205"]


def test_all_shortages_are_reported_at_once() -> None:
    writes = [(f"COS{n}/schemata", "L3:0=7ff;1=7ff\n") for n in range(1, 8)]
    domain = parse(f"<cachetune vcpus='0'>{l3(1)}</cachetune>")
    assert refusal(domain, host("skylake-2s", *writes)) == ["CT207", "CT212"]


def test_closids_are_counted_before_anything_is_written() -> None:
    writes = [(f"COS{n}/schemata", "L3:0=600;1=600\n") for n in range(1, 8)]
    domain = parse("<memorytune vcpus='0'><node id='0' bandwidth='50'/></memorytune>")
    with pytest.raises(PlanRefusedError) as caught:
        plan(domain, host("skylake-2s", *writes), GUEST)
    finding = caught.value.findings[-1]
    assert finding.rule == "CT212"
    assert "0 of 8 CLOSIDs free" in finding.message
    assert finding.message.endswith("; 7 held by pqos (COS1, COS2 and 5 more), 1 by the default group")
    assert finding.hint.startswith("remove groups that are no longer needed; 7 of them have no tasks and no CPUs; ")


def test_a_foreign_monitor_group_inside_a_group_to_remove_refuses_the_plan() -> None:
    sim = fresh("skylake-2s", ROOM)
    applied(sim, plan(parse(f"<cachetune vcpus='0-1'>{l3(1)}</cachetune>"), read_host(sim), GUEST))
    sim.mkdir("cachetune-web-vcpus_0-1/mon_groups/cadvisor-x")
    with pytest.raises(PlanRefusedError) as caught:
        plan(parse(f"<cachetune vcpus='2'>{l3(1)}</cachetune>"), read_host(sim), GUEST)
    (finding,) = caught.value.findings
    inside = "cachetune-web-vcpus_0-1/mon_groups/cadvisor-x"
    assert (finding.rule, f"rmdir {inside}" in finding.hint) == ("CT216", True)
    sim.rmdir(inside)
    assert plan(parse(f"<cachetune vcpus='2'>{l3(1)}</cachetune>"), read_host(sim), GUEST).steps


def test_the_default_group_in_mode_exclusive_cannot_be_shared() -> None:
    sim = fresh("skylake-2s", ROOM, ("mode", "exclusive\n"))
    assert refusal(parse(f"<cachetune vcpus='0'>{l3(1)}</cachetune>"), read_host(sim)) == ["CT219"]
    both = parse(f"<cachetune vcpus='0'>{l3(1)}{l3(1, 1)}</cachetune>")
    applied(sim, plan(both, read_host(sim), GUEST))


def test_ways_shared_with_io_are_used_with_a_warning() -> None:
    made = plan(parse(f"<cachetune vcpus='0'>{l3(6)}</cachetune>"), host("skylake-2s", ROOM), GUEST)
    assert [f.rule for f in made.warnings] == ["CT217"]


@pytest.mark.parametrize(
    ("guest", "rules"),
    [
        (None, ["CT403"]),
        (Guest(TIDS[0], GUEST.threads[:1]), ["CT401"]),
        (Guest(None, GUEST.threads), ["CT405", "CT405"]),
    ],
)
def test_missing_and_unneeded_threads_are_reported(guest: Guest | None, rules: list[str]) -> None:
    made = plan(parse(f"<cachetune vcpus='0-1'>{l3(1)}</cachetune>"), host("skylake-2s", ROOM), guest)
    assert [f.rule for f in made.warnings] == rules


def test_a_whole_process_group_cannot_be_planned_from_single_threads() -> None:
    domain = parse(f"<cachetune>{l3(1)}</cachetune>")
    assert refusal(domain, host("skylake-2s", ROOM), Guest(None, GUEST.threads)) == ["CT404"]


def test_check_finds_what_planning_without_a_guest_finds() -> None:
    domain = parse(f"<cachetune vcpus='0'>{l3(3)}</cachetune>")
    assert [f.rule for f in check(domain, host())] == ["CT207"]
    assert check(domain, host("skylake-2s", ROOM)) == ()


def test_the_fingerprint_depends_on_masks_and_groups_but_not_on_threads() -> None:
    sim = fresh()
    before = read_host(sim).fingerprint
    sim.add_task(31337)
    assert read_host(sim).fingerprint == before
    sim.mkdir("COS1")
    with_group = read_host(sim).fingerprint
    sim.write("COS1/schemata", "L3:0=1\n")
    assert len({before, with_group, read_host(sim).fingerprint}) == 3


def test_a_cache_of_unknown_size_cannot_be_allocated() -> None:
    on = host("skylake-2s", ROOM)
    caches = tuple(msgspec.structs.replace(c, size_bytes=dict.fromkeys(c.size_bytes)) for c in on.caches)
    unknown = msgspec.structs.replace(on, caches=caches)
    assert refusal(parse(f"<cachetune vcpus='0'>{l3(1)}</cachetune>"), unknown) == ["CT218"]


def test_a_snapshot_with_missing_or_unknown_values_can_be_planned_on() -> None:
    sim = fresh("skylake-2s", ROOM)
    both = f"<cachetune vcpus='0'>{l3(1)}</cachetune><memorytune vcpus='0'><node id='0' bandwidth='50'/></memorytune>"
    applied(sim, plan(parse(both), read_host(sim), GUEST))
    on = read_host(sim)
    odd = msgspec.structs.replace(
        on.groups[-1], bandwidth=Bandwidth(), masks=on.groups[-1].masks.updated({"L9": {0: Cbm(1)}})
    )
    strange = msgspec.structs.replace(on, groups=(*on.groups[:-1], odd))
    assert writes(plan(parse(both), strange, GUEST)) == {"cachetune-web-vcpus_0": "MB:0=50\n"}
    assert plan(parse("<cachetune vcpus='1'><monitor level='3' vcpus='1'/></cachetune>"), strange, GUEST).steps


def test_io_alloc_takes_a_closid() -> None:
    on = host()
    caches = tuple(msgspec.structs.replace(c, io_alloc=True) for c in on.caches)
    assert msgspec.structs.replace(on, caches=caches).closids_total == (on.closids_total or 0) - 1


def test_planning_does_no_io(monkeypatch: pytest.MonkeyPatch) -> None:
    on = host("skylake-2s", ROOM)
    domain = parse(f"<cachetune vcpus='0-1'>{l3(1)}</cachetune>")

    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("a plan opened a file")

    monkeypatch.setattr("builtins.open", forbidden)
    monkeypatch.setattr("os.open", forbidden)
    assert plan(domain, on, GUEST).steps
