"""The tuning that a running guest requests, and its state on a simulated host."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest

from cachetune.apply.run import Connection, apply
from cachetune.apply.state.ledger import Ledger
from cachetune.domain import Loaded, load
from cachetune.errors import ResctrlError
from cachetune.guests import Guest, RunningGuest, Thread
from cachetune.guests.sources.options import SourceOptions
from cachetune.host.model import Host
from cachetune.host.read import read_host
from cachetune.plan import GuestRequest, Options, plan_guests
from cachetune.plan.rules import LACKS
from cachetune.service.connection import Location
from cachetune.service.select import Selection
from cachetune.service.status import GuestState, Tuning, guest_states, state_of, tuning_of
from cachetune.service.wanted import wanted
from cachetune.sim import SimulatedResctrl, load_profile
from cachetune.units import Rounding

HALF = "<memorytune vcpus='{vcpus}'><node id='0' bandwidth='50'/></memorytune>"
TWO_WAYS = "<cachetune vcpus='0'><cache id='0' level='3' type='both' size='4608' unit='KiB'/></cachetune>"
THREADS = (Thread(40), Thread(41, vcpu=0), Thread(42, vcpu=1))


def guest(cputune: str | None, threads: tuple[Thread, ...] = THREADS, problem: str = "") -> RunningGuest:
    """A guest that libvirt runs with id 7; without XML if there is no ``cputune``."""
    xml = f"<domain type='kvm' id='7'><name>web</name><vcpu>2</vcpu><cputune>{cputune}</cputune></domain>"
    return RunningGuest(
        name="web",
        uuid=None,
        source="libvirt-status",
        guest=Guest(pid=40, threads=threads),
        xml=None if cputune is None else xml,
        problem=problem,
    )


def tuning(running: RunningGuest, host: Host | None, file: Loaded | None = None) -> Tuning:
    return tuning_of(running, wanted(running, file), host)


def state(running: RunningGuest, host: Host | None, file: Loaded | None = None) -> GuestState:
    return state_of(running, tuning(running, host, file), host)


@pytest.fixture
def resctrl() -> SimulatedResctrl:
    made = SimulatedResctrl(load_profile("skylake-2s"))
    for thread in THREADS:
        made.add_task(thread.tid)
    return made


@pytest.fixture
def host(resctrl: SimulatedResctrl) -> Host:
    return read_host(resctrl)


@pytest.mark.parametrize(
    ("cputune", "state", "requested_by"),
    [
        (None, "unknown", None),
        ("", "none", "libvirt"),
        ("<shares>100</shares>", "none", "libvirt"),
        (HALF.format(vcpus="0-1"), "drifted", "libvirt"),
        (HALF.format(vcpus="x"), "invalid", "libvirt"),
        ("<cachetune><cache id='0' level='3' type='both' size='1' unit='GiB'/></cachetune>", "refused", "libvirt"),
    ],
)
def test_the_state_follows_from_the_xml_and_the_host(
    cputune: str | None, state: str, requested_by: str, host: Host
) -> None:
    found = tuning(guest(cputune), host)
    assert (found.state, found.requested_by) == (state, requested_by)
    assert bool(found.why) is (state in ("invalid", "refused"))


def test_drift_is_counted(host: Host) -> None:
    found = tuning(guest(HALF.format(vcpus="0-1")), host)
    assert found.machine_name == "qemu-7-web"
    assert found.summary
    assert (found.summary.control_groups_created, found.summary.tasks_moved) == (1, 2)


def test_a_guest_placed_by_libvirt_is_applied_until_it_drifts(resctrl: SimulatedResctrl) -> None:
    running = guest(HALF.format(vcpus="0-1"))
    name = "qemu-7-web-vcpus_0-1"
    resctrl.mkdir(name)
    resctrl.write(f"{name}/schemata", "MB:0=50\n")
    for tid in ("41\n", "42\n"):
        resctrl.write(f"{name}/tasks", tid)
    there = state(running, read_host(resctrl))
    assert (there.tuning.state, there.tuning.summary, there.groups) == ("applied", None, (name,))
    resctrl.write("tasks", "42\n")
    resctrl.write(f"{name}/schemata", "MB:0=60\n")
    drifted = tuning(running, read_host(resctrl))
    assert drifted.state == "drifted"
    assert drifted.summary
    assert (drifted.summary.groups_changed, drifted.summary.tasks_moved) == (1, 1)


def test_a_guest_placed_from_a_tuning_file_is_applied(resctrl: SimulatedResctrl, tmp_path: Path) -> None:
    file = load(f"<cputune>{HALF.format(vcpus='0')}</cputune>".encode(), "web.xml")
    assert file.domain
    file = msgspec.structs.replace(file, domain=msgspec.structs.replace(file.domain, name="web"))
    running = guest("")
    host = read_host(resctrl)
    before = tuning(running, host, file)
    assert (before.state, before.requested_by, before.machine_name) == ("drifted", "file", "cachetune-web")
    assert file.domain
    connection = Connection(resctrl, tmp_path)
    apply(plan_guests([GuestRequest(file.domain, running.guest)], connection.look(Ledger()), Options()), connection)
    assert state(running, read_host(resctrl), file).tuning.state == "applied"
    assert state(running, read_host(resctrl), file).groups == ("cachetune-web-vcpus_0",)


def test_a_tuning_file_with_errors_is_invalid_even_if_libvirts_xml_is_valid(host: Host) -> None:
    broken = load(b"<cputune><cachetune vcpus='x'/></cputune>", "web.xml")
    assert tuning(guest(HALF.format(vcpus="0")), host, broken).state == "invalid"


def test_a_refusal_says_what_to_do(host: Host) -> None:
    found = tuning(guest(TWO_WAYS), host)
    assert found.state == "refused"
    assert found.why[0].startswith("no room for ")
    assert "; plan with --shrink-default: " in found.why[0]


def fill_ways(resctrl: SimulatedResctrl) -> None:
    resctrl.write("schemata", "L3:0=7ff;1=7ff\n")


def fill_closids(resctrl: SimulatedResctrl) -> None:
    for i in range(1, 8):
        resctrl.mkdir(f"COS{i}")


def fill_rmids(resctrl: SimulatedResctrl) -> None:
    with suppress(ResctrlError):  # no RMID is left
        for i in range(1000):
            resctrl.mkdir(f"mon_groups/m{i}")


@pytest.mark.parametrize(
    ("fill", "rule", "lacks"),
    [(fill_ways, "CT207", "ways"), (fill_closids, "CT212", "closids"), (fill_rmids, "CT213", "rmids")],
)
def test_a_full_host_refuses_for_what_it_lacks_and_the_same_guest_fits_the_empty_one(
    resctrl: SimulatedResctrl, fill: Callable[[SimulatedResctrl], None], rule: str, lacks: str
) -> None:
    running = guest(TWO_WAYS)
    resctrl.write("schemata", "L3:0=7f0;1=7f0\n")
    assert tuning(running, read_host(resctrl)).rules == ()
    fill(resctrl)
    found = tuning(running, read_host(resctrl))
    assert found.state == "refused"
    assert (rule in found.rules, LACKS[rule]) == (True, lacks)
    assert set(found.rules) <= set(LACKS)


def test_of_a_refusal_that_is_no_lack_the_rule_is_known_too(host: Host) -> None:
    odd = TWO_WAYS.replace("4608", "4609")
    assert tuning(guest(odd), host).rules == ("CT205",)
    assert "CT205" not in LACKS


def test_vcpus_without_names_can_only_be_tuned_together(host: Host) -> None:
    unnamed, why = (Thread(40), Thread(41)), "all its vCPUs run in one thread"
    found = tuning(guest(HALF.format(vcpus="0"), unnamed, why), host)
    assert (found.state, found.why) == ("refused", (why,))
    whole = "<memorytune><node id='0' bandwidth='50'/></memorytune>"
    assert tuning(guest(whole, unnamed, why), host).state == "drifted"


def test_without_resctrl_the_state_is_no_resctrl() -> None:
    found = state(guest(HALF.format(vcpus="0")), None)
    assert (found.tuning.state, found.tuning.machine_name, found.groups) == ("no resctrl", "qemu-7-web", ())
    assert tuning(guest(""), None).state == "none"


def test_warnings_about_the_host_are_notes(root: Path, tmp_path: Path) -> None:
    (tmp_path / "ledger.json").write_text("rubbish")
    nowhere = SourceOptions(proc=tmp_path, libvirt_run=tmp_path / "none", cgroup=tmp_path)
    found = guest_states(Location(resctrl=root, run=tmp_path), Selection(sources=nowhere))
    assert found.guests == ()
    assert ["ledger.json" in note for note in found.notes] == [True]


@pytest.mark.parametrize(
    ("size", "rounding"),
    [("size='3' unit='MiB'", "up"), ("size='3' unit='MiB'", "down"), ("size='30' unit='%'", "up")],
)
def test_a_guest_is_applied_whichever_way_its_size_was_rounded(
    size: str, rounding: Rounding, resctrl: SimulatedResctrl, tmp_path: Path
) -> None:
    cache = f"<cachetune vcpus='0'><cache id='0' level='3' type='both' {size}/></cachetune>"
    file = load(f"<cputune>{cache}</cputune>".encode(), "web.xml")
    assert file.domain
    file = msgspec.structs.replace(file, domain=msgspec.structs.replace(file.domain, name="web"))
    assert file.domain
    running, connection = guest(""), Connection(resctrl, tmp_path)
    request, options = GuestRequest(file.domain, running.guest), Options(shrink_default=True, rounding=rounding)
    apply(plan_guests([request], connection.look(Ledger()), options), connection)
    assert state(running, read_host(resctrl), file).tuning.state == "applied"
    resctrl.write("cachetune-web-vcpus_0/schemata", "L3:0=01f\n")
    assert state(running, read_host(resctrl), file).tuning.state in ("drifted", "refused")
