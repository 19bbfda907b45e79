"""What is applied to guests, read back as requests: the same groups again, on every kind of host."""

import random
from pathlib import Path

import msgspec
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from cachetune import documents
from cachetune.apply.run import Connection, apply
from cachetune.apply.state.ledger import GuestEntry, Ledger, load_ledger
from cachetune.domain import format_cputune, load
from cachetune.errors import InputError
from cachetune.guests.model import RunningGuest
from cachetune.host.model import Host
from cachetune.host.read import read_host
from cachetune.plan import GuestRequest, Options, Plan, PlanRefusedError, plan_guests
from cachetune.plan.steps import CreateGroup
from cachetune.service.applied import AppliedGuest, applied_guests, read_applied
from cachetune.service.connection import Location
from cachetune.service.select import Selection
from cachetune.sim import SimulatedResctrl, load_profile, profile_names
from cachetune.units import Rate, Size
from tests.drawn import drawn_domain
from tests.mpam import mpam_host
from tests.samples import GUEST, TIDS, host_with_guest, plan_for, web

EMPTY = Ledger()
NODE7 = Path("examples/node7.json")


def again(applied: AppliedGuest, host: Host, ledger: Ledger) -> Plan:
    """The plan for what is applied, through its text."""
    loaded = load(format_cputune(applied.domain).encode(), "export.xml", vcpus=4)
    assert loaded.domain, loaded.findings
    wanted = msgspec.structs.replace(loaded.domain, name=applied.name)
    owned = ledger.groups_of(applied.machine_name)
    return plan_guests([GuestRequest(wanted, GUEST, applied.machine_name, owned)], host, Options())


def host_of(sim: SimulatedResctrl, ledger: Ledger = EMPTY) -> Host:
    return read_host(sim, None, ledger.owned)


@settings(max_examples=100)
@given(st.sampled_from(profile_names()), st.integers(0, 10**6))
def test_planning_what_is_applied_has_no_steps(
    tmp_path_factory: pytest.TempPathFactory, profile: str, seed: int
) -> None:
    sim = SimulatedResctrl(load_profile(profile))
    for tid in TIDS:
        sim.add_task(tid)
    connection = Connection(sim, tmp_path_factory.mktemp("run"))
    wanted = drawn_domain(random.Random(seed), connection.look(EMPTY), "web")  # noqa: S311 - reproducible on purpose
    try:
        made = plan_for(wanted, connection)
    except PlanRefusedError:
        assume(False)
    assert apply(made, connection).outcome in ("done", "nothing to do")
    ledger = load_ledger(connection.run)
    host = connection.look(ledger)
    guests = applied_guests(host, ledger)
    assert {path for guest in guests for path in guest.groups} == {group.path for group in made.groups}
    for applied in guests:
        assert applied.notes == ()
        assert again(applied, host, ledger).steps == ()


@pytest.mark.parametrize("bits", [2, 3, 4, 5, 6, 7])
def test_a_percentage_that_mpam_has_rounded_is_exported_as_one_that_makes_it_again(bits: int) -> None:
    sim = mpam_host(bits)
    sim.mkdir("cachetune-web-vcpus_0-1")
    for tid in TIDS[:2]:
        sim.write("cachetune-web-vcpus_0-1/tasks", str(tid))
    control = host_of(sim).bandwidths[0]
    for percent in range(control.min_bandwidth, 100):
        sim.write("cachetune-web-vcpus_0-1/schemata", f"MB:{control.ids[0]}={percent}\n")
        host = host_of(sim)
        (applied,) = applied_guests(host, EMPTY)
        assert again(applied, host, EMPTY).steps == ()


def test_the_example_snapshot_is_of_a_host_where_the_example_guest_is_applied() -> None:
    host = documents.decode(NODE7.read_bytes(), Host, "node7.json")
    loaded = load(Path("examples/web.xml").read_bytes(), "web.xml")
    assert loaded.domain
    assert plan_guests([GuestRequest(loaded.domain)], host, Options()).steps == ()
    (applied,) = applied_guests(host, EMPTY)
    assert [(g.caches[0].size, g.nodes[0].bandwidth) for g in applied.domain.groups] == [(Size(6912 << 10), Rate(50))]


# names


def test_the_ledger_knows_the_name_that_a_machine_name_has_lost(sim: SimulatedResctrl) -> None:
    sim.mkdir("cachetune-myvm")
    sim.write("cachetune-myvm/schemata", "MB:0=50\n")
    ledger = Ledger(guests={"cachetune-myvm": GuestEntry("my vm!", "u-u-i-d", ("cachetune-myvm",))})
    (known,) = applied_guests(host_of(sim, ledger), ledger)
    assert (known.name, known.domain.uuid) == ("my vm!", "u-u-i-d")
    (unknown,) = applied_guests(host_of(sim), EMPTY)
    assert (unknown.name, unknown.domain.uuid) == ("myvm", None)


def test_a_running_guest_has_its_full_name_and_libvirts_groups(sim: SimulatedResctrl) -> None:
    sim.mkdir("qemu-7-myvm-vcpus_0-1")
    sim.write("qemu-7-myvm-vcpus_0-1/schemata", "MB:0=50\n")
    running = RunningGuest(name="my vm!", uuid=None, source="threads", guest=GUEST, libvirt_id=7)
    (applied,) = applied_guests(host_of(sim), Ledger(), [running])
    assert (applied.name, applied.machine_name, applied.owner) == ("my vm!", "qemu-7-myvm", "libvirt")
    assert again(applied, host_of(sim), EMPTY).steps[0].path == "qemu-7-myvm-vcpus_0-1"  # only threads move


def test_groups_under_a_machine_name_of_the_operator_are_the_guests(sim: SimulatedResctrl) -> None:
    sim.mkdir("gold-vcpus_0-1")
    sim.write("gold-vcpus_0-1/schemata", "MB:0=50\n")
    ledger = Ledger(guests={"gold": GuestEntry("web", None, ("gold-vcpus_0-1",))})
    (applied,) = applied_guests(host_of(sim, ledger), ledger)
    assert (applied.name, applied.machine_name) == ("web", "gold")
    assert applied_guests(host_of(sim), EMPTY) == ()


@pytest.mark.parametrize("key", ["web", "cachetune-web"])
def test_a_guest_is_found_by_its_name_or_machine_name(key: str) -> None:
    found = read_applied(Location(host=str(NODE7)), Selection(guest=key))
    assert [guest.name for guest in found.guests] == ["web"]


def test_a_guest_without_groups_is_an_error_that_names_those_with_groups() -> None:
    with pytest.raises(InputError, match="has no groups of guest 'db'") as raised:
        read_applied(Location(host=str(NODE7)), Selection(guest="db"))
    assert raised.value.hint == "groups exist for web"


# what no request describes


@pytest.mark.parametrize(
    ("lines", "notes"),
    [
        ("L3:0=7;1=7ff\n", ["cachetune-web-vcpus_0-1: L3 cache 0 is left out: no size describes its mask"]),
        ("L3:0=7ff;1=7ff\nMB:0=50\n", []),
    ],
)
def test_a_mask_that_overlaps_with_the_default_group_is_left_out(
    sim: SimulatedResctrl, lines: str, notes: list[str]
) -> None:
    sim.mkdir("cachetune-web-vcpus_0-1")
    for line in lines.splitlines():
        sim.write("cachetune-web-vcpus_0-1/schemata", line + "\n")
    (applied,) = applied_guests(host_of(sim), EMPTY)
    assert list(applied.notes) == notes
    assert applied.domain.groups[0].caches == ()


def test_a_group_with_only_copies_requests_the_maximum_so_that_it_stays(sim: SimulatedResctrl) -> None:
    sim.mkdir("cachetune-web-vcpus_0-1")
    for tid in TIDS[:2]:
        sim.write("cachetune-web-vcpus_0-1/tasks", str(tid))
    (applied,) = applied_guests(host_of(sim), EMPTY)
    assert [(n.node_id, n.bandwidth.number) for n in applied.domain.groups[0].nodes] == [(0, 100), (1, 100)]
    assert again(applied, host_of(sim), EMPTY).steps == ()


def test_a_limit_on_slow_memory_is_read_beside_that_on_all_memory() -> None:
    sim = host_with_guest("turin", "7.3")
    sim.mkdir("cachetune-web-vcpus_0-1")
    for tid in TIDS[:2]:
        sim.write("cachetune-web-vcpus_0-1/tasks", str(tid))
    sim.write("cachetune-web-vcpus_0-1/schemata", "SMBA:3=128\nMB:0=256\n")
    (applied,) = applied_guests(host_of(sim), EMPTY)
    nodes = [(n.resource, n.node_id, n.bandwidth.number) for n in applied.domain.groups[0].nodes]
    assert nodes == [("MB", 0, 256), ("SMBA", 3, 128)]
    assert again(applied, host_of(sim), EMPTY).steps == ()
    sim.write("cachetune-web-vcpus_0-1/schemata", "SMBA:3=4096\nMB:0=4096\n")
    (applied,) = applied_guests(host_of(sim), EMPTY)
    assert {n.resource for n in applied.domain.groups[0].nodes} == {"MB"}, "one resource is enough to keep the group"


@pytest.mark.parametrize(
    ("groups", "note"),
    [
        (["cachetune-web-vcpus_1,0"], "its name has no list of vCPUs"),
        (["cachetune-web-vcpus_0-1", "cachetune-web-vcpus_1-2"], "it shares threads with cachetune-web-vcpus_0-1"),
        (["cachetune-web-vcpus_0", "cachetune-web"], "it shares threads with cachetune-web"),
        (["cachetune-web-vcpus_0", "mon_groups/cachetune-web-vcpus_0"], "it shares threads with cachetune-web-vcpus_0"),
        (
            ["cachetune-web-vcpus_0", "cachetune-web-vcpus_0/mon_groups/cachetune-web-vcpus_1"],
            "its threads are not within those of the group around it, or in two monitors",
        ),
        (["COS1", "COS1/mon_groups/cachetune-web-vcpus_1"], "the group around it is left out or is not the guest's"),
    ],
)
def test_what_no_file_can_say_is_left_out_with_a_note(sim: SimulatedResctrl, groups: list[str], note: str) -> None:
    for path in groups:
        sim.mkdir(path)
    (applied,) = applied_guests(host_of(sim), EMPTY)
    assert [each.partition(" is left out: ")[2] for each in applied.notes] == [note]
    loaded = load((format_cputune(applied.domain) or "<cputune/>").encode(), "export.xml")
    assert loaded.domain, loaded.findings


def test_monitors_of_the_default_group_and_of_the_whole_process_are_read(sim: SimulatedResctrl) -> None:
    sim.mkdir("cachetune-db")
    sim.write("cachetune-db/schemata", "MB:0=50\n")
    for path in ("mon_groups/cachetune-web-vcpus_2-3", "cachetune-db/mon_groups/cachetune-db-vcpus_0"):
        sim.mkdir(path)
    found = {guest.name: format_cputune(guest.domain) for guest in applied_guests(host_of(sim), EMPTY)}
    assert "<cachetune vcpus='2-3'>\n    <monitor level='3' vcpus='2-3'/>" in found["web"]
    assert "<cachetune>\n    <monitor level='3' vcpus='0'/>" in found["db"]
    assert "<memorytune>\n    <node id='0' bandwidth='50'/>" in found["db"]


def test_groups_of_other_threads_are_read(sim: SimulatedResctrl) -> None:
    groups = ("threads_emulator", "threads_iothreads_1-2", "vcpus_0")
    for group in groups:
        sim.mkdir(f"cachetune-web-{group}")
        sim.write(f"cachetune-web-{group}/schemata", "MB:0=50\n")
    sim.mkdir("cachetune-web-threads_iothreads_1-2/mon_groups/cachetune-web-threads_iothreads_2")
    (applied,) = applied_guests(host_of(sim), EMPTY)
    assert applied.notes == ()
    text = format_cputune(applied.domain)
    assert "<memorytune threads='emulator'>" in text
    assert "<cachetune threads='iothreads:1-2'>\n    <monitor level='3' threads='iothreads:2'/>" in text
    creates = [step.path for step in again(applied, host_of(sim), EMPTY).steps if isinstance(step, CreateGroup)]
    assert creates == []


def test_a_host_without_cache_events_has_memory_monitors() -> None:
    host = read_host(SimulatedResctrl(load_profile("skylake-2s")))
    only = tuple(msgspec.structs.replace(m, features=("mbm_total_bytes",)) for m in host.monitors)
    sim = SimulatedResctrl(load_profile("skylake-2s"))
    sim.mkdir("mon_groups/cachetune-web-vcpus_0")
    (applied,) = applied_guests(msgspec.structs.replace(host_of(sim), monitors=only), EMPTY)
    assert applied.domain.groups[0].monitors[0].resource == "memory"


def test_groups_of_other_programs_are_nobodys(sim: SimulatedResctrl) -> None:
    for path in ("COS1", "pod1234", "mon_groups/pqos-12-1"):
        sim.mkdir(path)
    assert applied_guests(host_of(sim), EMPTY) == ()


def test_what_is_read_is_what_was_applied(tmp_path: Path, sim: SimulatedResctrl) -> None:
    connection = Connection(sim, tmp_path)
    wanted = web("skylake-2s")
    apply(plan_for(wanted, connection), connection)
    ledger = load_ledger(tmp_path)
    (applied,) = applied_guests(connection.look(ledger), ledger)
    assert format_cputune(applied.domain) == format_cputune(wanted)
