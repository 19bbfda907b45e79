"""``cachetune default`` on a simulated host: the values, what the ledger remembers, undo, and the guard."""

import errno
from pathlib import Path

import msgspec
import pytest

from cachetune.apply.recover import recover
from cachetune.apply.run import Connection, Planner, apply, apply_planned
from cachetune.apply.settle import settle
from cachetune.apply.state import journal
from cachetune.apply.state.ledger import Ledger, load_ledger, save_ledger
from cachetune.cbm import Bandwidth, Cbm, Masks
from cachetune.errors import ApplyRefusedError, PlanRefusedError, StateFileError
from cachetune.plan import Plan
from cachetune.plan.allocation import Allocation
from cachetune.plan.model import DefaultGoal, PlanGuest
from cachetune.plan.removal import plan_removal
from cachetune.plan.steps import CreateGroup, Step, WriteSchemata
from cachetune.service.default_group import DefaultValues, RateFor, SizeFor, default_planner, reset_planner
from cachetune.sim import SimulatedResctrl, load_profile
from cachetune.units import Rate, Size
from tests.apply.dying import until_death
from tests.mpam import mpam_host
from tests.samples import cache_request, domain, group, host_with_guest, plan_for


def wish(ways: int | None = None, rate: str | None = None, resource: str = "L3") -> Planner:
    caches = () if ways is None else (SizeFor(resource, (0,), Size.parse(f"{ways}ways")),)
    limits = () if rate is None else (RateFor("MB", (0,), Rate.parse(rate)),)
    return default_planner(DefaultValues(caches, limits))


def planned(planner: Planner, connection: Connection) -> Plan:
    ledger = load_ledger(connection.run)
    return planner(connection.look(ledger), ledger)


def done(planner: Planner, connection: Connection) -> None:
    assert apply_planned(planner, connection).outcome == "done"
    assert not planned(planner, connection).steps, "planning again finds no changes"


def guest_with(ways: int, connection: Connection) -> None:
    control = connection.look(load_ledger(connection.run)).caches[0]
    wanted = domain(group({0}, (cache_request(control, 0, ways),), (), []))
    assert apply(plan_for(wanted, connection), connection).outcome == "done"


def guest_ends(connection: Connection) -> None:
    ledger = load_ledger(connection.run)
    guest = PlanGuest("web", "cachetune-web")
    plan = plan_removal(connection.look(ledger), [guest], ledger.groups_of("cachetune-web"), ledger.shrunk)
    assert apply(plan, connection).outcome == "done"


def now(sim: SimulatedResctrl, path: str = "") -> tuple[str, str]:
    """Mask and bandwidth on cache and node 0."""
    text = sim.read(f"{path}/schemata".lstrip("/"))
    return text.split("L3:0=")[1].split(";")[0], text.split("MB:0=")[1].split(";")[0].strip()


def test_the_default_group_gets_the_values_and_the_first_ones_come_back(
    sim: SimulatedResctrl, connection: Connection
) -> None:
    before = sim.tree()
    done(wish(4, "50%"), connection)
    assert now(sim) == ("780", "50")
    done(wish(6), connection)
    done(wish(3, "20%"), connection)
    assert now(sim) == ("700", "20")
    initial = load_ledger(connection.run).initial
    assert (initial.masks, initial.bandwidth) == ({"L3": {0: 0x7FF}}, {"MB": {0: 100}})
    assert apply_planned(reset_planner(), connection).outcome == "done"
    assert sim.tree() == before
    assert load_ledger(connection.run).initial == Allocation()


def test_what_the_operator_takes_does_not_come_back_when_a_guest_ends(
    sim: SimulatedResctrl, connection: Connection
) -> None:
    done(wish(4), connection)
    guest_with(3, connection)
    assert (now(sim)[0], now(sim, "cachetune-web-vcpus_0")[0]) == ("780", "007"), "free ways are for guests"
    guest_ends(connection)
    assert settle(connection).outcome == "nothing to do"
    assert now(sim)[0] == "780"


def test_what_a_guest_takes_from_that_comes_back_to_the_operators_value(
    sim: SimulatedResctrl, connection: Connection
) -> None:
    done(wish(6), connection)
    guest_with(8, connection)
    assert now(sim)[0] == "700"
    guest_ends(connection)
    assert now(sim)[0] == "7e0"


def test_setting_it_while_a_guest_has_ways_makes_that_its_value(sim: SimulatedResctrl, connection: Connection) -> None:
    guest_with(4, connection)
    done(wish(5), connection)
    guest_ends(connection)
    assert now(sim)[0] == "7c0"
    assert apply_planned(reset_planner(), connection).outcome == "done"
    assert now(sim)[0] == "7ff", "it had all ways before the guest came"


def test_a_value_that_it_has_already_is_remembered_as_the_operators(
    sim: SimulatedResctrl, connection: Connection
) -> None:
    guest_with(4, connection)
    assert apply_planned(wish(7), connection).outcome == "nothing to do"
    guest_ends(connection)
    assert now(sim)[0] == "7f0"


def test_a_reset_leaves_guests_their_ways_and_the_rest_follows_when_they_end(
    sim: SimulatedResctrl, connection: Connection
) -> None:
    done(wish(4), connection)
    guest_with(3, connection)
    plan = planned(reset_planner(), connection)
    assert [f.message for f in plan.warnings] == [
        "L3 cache 0: the default group gets back 7f8 of 7ff, because cachetune-web-vcpus_0 (cachetune) has 7"
    ]
    assert apply(plan, connection).outcome == "done"
    assert now(sim)[0] == "7f8"
    guest_ends(connection)
    assert now(sim)[0] == "7ff"


def test_groups_that_share_its_ways_follow(sim: SimulatedResctrl, connection: Connection) -> None:
    control = connection.look(Ledger()).caches[0]
    on_cache_1 = domain(group({0}, (cache_request(control, 1, 2),), (), []))
    assert apply(plan_for(on_cache_1, connection), connection).outcome == "done"
    done(wish(5, "30%"), connection)
    assert now(sim, "cachetune-web-vcpus_0") == ("7c0", "100")


@pytest.mark.parametrize(
    ("held", "default", "ways", "mask"),
    [
        ({}, "7ff", 11, "7ff"),
        ({}, "00f", 6, "03f"),  # it keeps all that it has
        ({"COS1": "0f0"}, "00f", 3, "00e"),
        ({"COS1": "0f0"}, "00e", 4, "00f"),
        ({"COS1": "002"}, "001", 4, "780"),  # there is no room beside it, so it moves to the ways of devices
        ({"COS1": "700"}, "700", 4, "780"),  # it shares what it shared before, and nothing else
    ],
)
def test_it_keeps_its_ways_as_far_as_possible(
    held: dict[str, str], default: str, ways: int, mask: str, sim: SimulatedResctrl, connection: Connection
) -> None:
    sim.write("schemata", f"L3:0={default}\n")
    for path, theirs in held.items():
        sim.mkdir(path)
        sim.write(f"{path}/schemata", f"L3:0={theirs};1=001\n")
    assert apply_planned(wish(ways), connection).outcome in ("done", "nothing to do")
    assert now(sim)[0] == mask


def test_ways_that_a_guest_has_are_refused_with_who_has_them(connection: Connection) -> None:
    guest_with(4, connection)
    with pytest.raises(PlanRefusedError) as refused:
        planned(wish(9), connection)
    (finding,) = refused.value.findings
    assert "cannot have 9 ways, because cachetune-web-vcpus_0 (cachetune) has f" in finding.message
    assert finding.hint == "at most 7 ways can be given"


def exclusive_host(sim: SimulatedResctrl, masks: str, others: str, run: Path) -> Connection:
    """A host whose default group is in mode exclusive, beside a group of another program."""
    sim.write("schemata", masks)
    sim.mkdir("COS1")
    sim.write("COS1/schemata", others)
    sim.write("mode", "exclusive\n")
    return Connection(sim, run)


def test_an_exclusive_default_group_gets_no_ways_of_devices(tmp_path: Path) -> None:
    connection = exclusive_host(host_with_guest("skylake-2s"), "L3:0=0f0;1=0f0\n", "L3:0=003;1=003\n", tmp_path)
    with pytest.raises(PlanRefusedError) as refused:
        planned(wish(8), connection)
    (finding,) = refused.value.findings
    owners = "COS1 (pqos) has 3 and devices have 600, which an exclusive group cannot share"
    assert finding.message.endswith(f"cannot have 8 ways, because {owners}")
    assert finding.hint == "at most 7 ways can be given"
    done(wish(7), connection)
    assert "L3:0=1fc" in connection.resctrl.read("schemata")


def test_an_exclusive_default_group_gets_no_data_ways_that_another_has_for_code(tmp_path: Path) -> None:
    masks, others = "L3CODE:0=0f0;1=0f0\nL3DATA:0=0f0;1=0f0\n", "L3CODE:0=00f;1=00f\nL3DATA:0=001;1=001\n"
    sim = SimulatedResctrl(load_profile("skylake-2s").mounted("cdp"))
    connection = exclusive_host(sim, masks, others, tmp_path)
    with pytest.raises(PlanRefusedError) as refused:
        planned(wish(6, resource="L3DATA"), connection)
    assert "because COS1 (pqos) has f and devices have 600" in refused.value.findings[0].message
    done(wish(5, resource="L3DATA"), connection)
    assert "L3DATA:0=1f0" in sim.read("schemata")


def test_an_exclusive_default_group_is_reset_without_the_ways_of_devices(tmp_path: Path) -> None:
    connection = exclusive_host(host_with_guest("skylake-2s"), "L3:0=0f0;1=0f0\n", "L3:0=003;1=003\n", tmp_path)
    first = Allocation(Masks.of([("L3", 0, Cbm(0x7FF))]))
    connection.run.mkdir(exist_ok=True)
    save_ledger(Ledger(boot_id=journal.boot_id(), initial=first), connection.run)
    assert apply_planned(reset_planner(), connection).outcome == "done"
    assert "L3:0=1fc" in connection.resctrl.read("schemata")


@pytest.mark.parametrize("profile", ["sapphire-rapids-cdp", "milan", "sapphire-rapids-mbps", "mpam"])
def test_it_works_on_other_hosts(profile: str, tmp_path: Path) -> None:
    sim = mpam_host(5) if profile == "mpam" else host_with_guest(profile)
    connection = Connection(sim, tmp_path)
    before = sim.tree()
    host = connection.look(Ledger())
    control, bandwidth = host.caches[0], host.bandwidths[0]
    size = Size.parse(f"{control.ways - 3}ways")
    rate = Rate(10 * bandwidth.bandwidth_gran)
    cache = SizeFor(control.name, (next(iter(control.size_bytes)),), size)
    request = DefaultValues((cache,), (RateFor(bandwidth.name, bandwidth.ids[:1], rate),))
    done(default_planner(request), connection)
    assert sim.tree() != before
    assert apply_planned(reset_planner(), connection).outcome == "done"
    assert sim.tree() == before


@pytest.fixture
def mounted_again(connection: Connection) -> Connection:
    """Bandwidth was set in percent; then resctrl was mounted with mba_MBps, in the same boot."""
    done(wish(None, "50%"), connection)
    assert load_ledger(connection.run).initial_unit == "percent"
    return msgspec.structs.replace(connection, resctrl=host_with_guest("sapphire-rapids-mbps"))


def test_a_reset_writes_no_percentage_as_mib_per_second(mounted_again: Connection) -> None:
    before = mounted_again.resctrl.read("schemata")
    plan = planned(reset_planner(), mounted_again)
    assert [(f.rule, f.message) for f in plan.warnings] == [
        ("CT242", "the MB of the default group stays: its first values are in percent, and this host counts MiB/s")
    ]
    assert apply(plan, mounted_again).outcome == "nothing to do"
    assert mounted_again.resctrl.read("schemata") == before
    ledger = load_ledger(mounted_again.run)
    assert (ledger.initial, ledger.initial_unit) == (Allocation(), None)
    assert planned(reset_planner(), mounted_again).warnings == ()


def test_the_first_value_is_that_before_the_first_change_in_this_unit(mounted_again: Connection) -> None:
    host = mounted_again.look(Ledger())
    before = mounted_again.resctrl.read("schemata")
    (node, first), *_ = host.default_group.bandwidth.row("MB").items()
    rate = RateFor("MB", (node,), Rate.parse("500MiB/s"))
    done(default_planner(DefaultValues((), (rate,))), mounted_again)
    ledger = load_ledger(mounted_again.run)
    assert (ledger.initial.bandwidth, ledger.initial_unit) == ({"MB": {node: first}}, "MiB/s")
    assert apply_planned(reset_planner(), mounted_again).outcome == "done"
    assert mounted_again.resctrl.read("schemata") == before


# -- failures and deaths --------------------------------------------------------------------------------------------


def a_change(run: Path, planner: Planner) -> tuple[SimulatedResctrl, Connection]:
    """A guest with a group that shares the default group's ways, which ``planner`` is about to change."""
    sim = host_with_guest("skylake-2s")
    connection = Connection(sim, run)
    control = connection.look(Ledger()).caches[0]
    on_cache_1 = domain(group({0}, (cache_request(control, 1, 2),), (), []))
    assert apply(plan_for(on_cache_1, connection), connection).outcome == "done"
    if planner is RESET:
        assert apply_planned(wish(4, "50%"), connection).outcome == "done"
    return sim, connection


SET, RESET = wish(5, "30%"), reset_planner()
EACH = pytest.mark.parametrize("planner", [SET, RESET], ids=["set", "reset"])


@EACH
def test_a_failure_anywhere_is_undone_and_nothing_is_remembered(planner: Planner, tmp_path: Path) -> None:
    sim, connection = a_change(tmp_path / "dry", planner)
    begin = len(sim.operations)
    assert apply_planned(planner, connection).outcome == "done"
    total = len(sim.operations) - begin
    assert total >= 2
    for number in range(1, total + 1):
        for after in (False, True):
            sim, connection = a_change(tmp_path / f"{number}{after}", planner)
            before, ledger = sim.tree(), load_ledger(connection.run)
            sim.fail(errno.EIO, at=number, after=after)
            report = apply_planned(planner, connection)
            assert report.outcome == "rolled back", (number, after)
            assert (sim.tree(), load_ledger(connection.run)) == (before, ledger)


@EACH
def test_a_run_and_its_recovery_killed_anywhere_end_before_or_after(planner: Planner, tmp_path: Path) -> None:
    sim, connection = a_change(tmp_path / "dry", planner)
    before, first = sim.tree(), load_ledger(connection.run)
    assert apply_planned(planner, connection).outcome == "done"
    after, last = sim.tree(), load_ledger(connection.run)
    states = [(before, first), (after, last)]
    reached = set()
    for number in range(1, 60):
        for second in (1, 3, 5):
            sim, connection = a_change(tmp_path / f"{number}-{second}", planner)
            died = until_death(sim, connection.run, lambda c=connection: apply_planned(planner, c), number)
            if journal.exists(connection.run):
                until_death(sim, connection.run, lambda c=connection: recover(c), second)
            assert recover(connection).exit_code == 0
            found = (sim.tree(), load_ledger(connection.run))
            assert found in states, (number, second)
            reached.add(states.index(found))
            assert recover(connection).outcome == "nothing to do"
        if not died:
            break
    assert not died
    assert reached == {0, 1}


# -- what is not from us --------------------------------------------------------------------------------------------


def refused(plan: Plan, connection: Connection) -> str:
    with pytest.raises(ApplyRefusedError, match="CT504") as caught:
        apply(plan, connection)
    return str(caught.value)


def altered(plan: Plan, **fields: object) -> Plan:
    return msgspec.structs.replace(plan, **fields)


def test_an_edited_plan_can_do_no_more_than_the_verb(sim: SimulatedResctrl, connection: Connection) -> None:
    sim.mkdir("COS1")
    sim.write("COS1/schemata", "L3:0=00f;1=00f\n")
    sim.write("schemata", "L3:0=7f0;1=7f0\n")
    plan = planned(wish(4, "50%"), connection)
    goal = plan.default_group
    assert goal is not None
    limit: Step = WriteSchemata(".", "MB:0=100\n", "MB:0=10\n")

    def also(*steps: Step) -> Plan:
        return altered(plan, steps=(*plan.steps, *steps))

    guests = altered(plan, default_group=None)
    assert "change more than the masks of group ." in refused(guests, connection)
    assert "which is not this guest's" in refused(also(WriteSchemata("COS1", "MB:0=100\n", "MB:0=10\n")), connection)
    every_way = DefaultGoal(Allocation(Masks.of([("L3", 0, Cbm(0x7FF))])))
    taking = altered(plan, default_group=every_way, steps=(WriteSchemata(".", "L3:0=7f0\n", "L3:0=7ff\n"),))
    assert "give group . the mask 7ff" in refused(taking, connection)
    assert "from values that it does not have" in refused(also(limit), connection)
    assert "together with the default group" in refused(also(CreateGroup("cachetune-x")), connection)
    web = (PlanGuest("web", "cachetune-web"),)
    assert "together with the default group" in refused(altered(plan, guests=web), connection)
    assert "that it does not write" in refused(altered(plan, default_group=every_way), connection)
    lies = msgspec.structs.replace(goal, reset=True)
    assert "did not have at first" in refused(altered(plan, default_group=lies), connection)
    elsewhere = altered(plan, host_groups={})
    assert "that the host does not have" in refused(elsewhere, connection)
    assert apply(plan, connection).outcome == "done"


@pytest.mark.parametrize(
    "initial",
    [
        Allocation(Masks.of([("MB", 0, Cbm(1))])),
        Allocation(Masks.of([("L3", -1, Cbm(1))])),
        Allocation(Masks.of([("L3", 0, Cbm(0))])),
        Allocation(None, Bandwidth.of([("L3", 0, 50)])),
        Allocation(None, Bandwidth.of([("MB", 0, -50)])),
    ],
)
def test_a_ledger_with_impossible_first_values_is_refused(initial: Allocation, connection: Connection) -> None:
    connection.run.mkdir(exist_ok=True)
    save_ledger(Ledger(boot_id=journal.boot_id(), initial=initial), connection.run)
    with pytest.raises(StateFileError):
        load_ledger(connection.run)


def test_a_ledger_from_before_there_were_first_values_is_read(connection: Connection) -> None:
    text = f'{{"schema_version": 1, "boot_id": "{journal.boot_id()}", "guests": {{}}, "shrunk": null}}'
    connection.run.mkdir(exist_ok=True)
    (connection.run / "ledger.json").write_text(text)
    assert load_ledger(connection.run).initial == Allocation()


def test_first_values_of_missing_caches_are_no_obstacle(connection: Connection) -> None:
    """As after resctrl was mounted again with another option."""
    first = Allocation(Masks.of([("L3CODE", 0, Cbm(0x7FF)), ("L3", 7, Cbm(0x7FF))]))
    connection.run.mkdir(exist_ok=True)
    save_ledger(Ledger(boot_id=journal.boot_id(), initial=first), connection.run)
    assert apply_planned(reset_planner(), connection).outcome == "nothing to do"
    assert load_ledger(connection.run).initial == Allocation()
