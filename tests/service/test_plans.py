"""Plans and changes: notes of results and of errors, saved plans, approval, and the guests to remove."""

from pathlib import Path

import pytest

from cachetune import documents
from cachetune.apply.run import Connection
from cachetune.apply.state.ledger import Ledger, load_ledger
from cachetune.errors import (
    ApplyRefusedError,
    CachetuneError,
    DocumentError,
    InputError,
    InvalidDomainError,
    PlanRefusedError,
    UnknownGuestError,
)
from cachetune.guests.sources.options import SourceOptions
from cachetune.plan.model import Plan
from cachetune.plan.render import summary_sentence
from cachetune.plan.request import GuestRequest, Options
from cachetune.service.changes import carry_out
from cachetune.service.connection import Location
from cachetune.service.notes import noted, notes_of
from cachetune.service.plans import Removal, is_saved_plan, make_plan, planner_of, read_plan, removal_planner
from cachetune.service.requests import Document
from cachetune.service.select import Selection
from cachetune.sim import SimulatedResctrl
from tests.guests.lookalike import add_process
from tests.samples import GUEST, domain, web

SHRINK = Options(shrink_default=True)
XML = b"""<domain type='kvm'><name>web</name><vcpu>4</vcpu><cputune>
<cachetune vcpus='0-1'><cache id='0' level='3' type='both' size='6912' unit='KiB'/></cachetune>
</cputune></domain>"""
NOTHING = "No changes. There are no groups that cachetune made for this guest."
NOTE = "cannot read {}/ledger.json: "


def placed(connection: Connection, name: str = "web") -> None:
    """Apply a request of the guest."""
    wanted = domain(*web("skylake-2s").groups, name=name)
    carry_out(planner_of([GuestRequest(wanted, GUEST)], SHRINK), connection)


# notes


def test_notes_are_added_to_errors_of_ours_only() -> None:
    with pytest.raises(CachetuneError) as ours, noted(["first", "second"]):
        raise InputError("no")
    assert notes_of(ours.value) == ("first", "second")
    with pytest.raises(ZeroDivisionError) as other, noted(["first"]):
        raise ZeroDivisionError
    assert notes_of(other.value) == ()


@pytest.mark.parametrize("fits", [True, False])
def test_an_unreadable_ledger_is_a_note_of_the_plan_or_of_the_refusal(root: Path, tmp_path: Path, fits: bool) -> None:
    (tmp_path / "ledger.json").write_text("rubbish")
    location = Location(resctrl=root, run=tmp_path)
    document = Document("web.xml", XML)
    if fits:
        notes = make_plan(location, Selection(), document, SHRINK).notes
    else:
        with pytest.raises(PlanRefusedError) as refused:
            make_plan(location, Selection(), document, Options())
        notes = notes_of(refused.value)
    assert [note.startswith(NOTE.format(tmp_path)) for note in notes] == [True]


def test_all_findings_of_invalid_xml_are_in_the_error() -> None:
    document = Document("web.xml", XML.replace(b"type='both'", b"type='all'").replace(b"'0-1'", b"'x'"))
    with pytest.raises(InvalidDomainError) as invalid:
        make_plan(Location(host="sim:skylake-2s"), Selection(), document, SHRINK)
    assert len(invalid.value.findings) > 1


# saved plans


def test_a_saved_plan_is_read_as_it_was_saved() -> None:
    plan = make_plan(Location(host="sim:skylake-2s"), Selection(), Document("web.xml", XML), SHRINK).plan
    saved = Document("plan.json", b"\n" + documents.encode(plan))
    assert is_saved_plan(saved)
    assert not is_saved_plan(Document("web.xml", XML))
    assert read_plan(saved) == plan


def test_a_saved_plan_with_impossible_vcpus_is_refused() -> None:
    plan = make_plan(Location(host="sim:skylake-2s"), Selection(), Document("web.xml", XML), SHRINK).plan
    edited = documents.encode(plan).replace(b'"vcpus": "0-1"', b'"vcpus": "1-0"')
    with pytest.raises(DocumentError, match=r"plan\.json"):
        read_plan(Document("plan.json", edited))


# changes


def test_the_plan_is_shown_before_it_is_approved_and_its_steps_are_reported(connection: Connection) -> None:
    calls: list[str] = []
    report = carry_out(
        planner_of([GuestRequest(web("skylake-2s"), GUEST)], SHRINK),
        connection,
        show=lambda _plan: calls.append("show"),
        approve=lambda _plan: calls.append("approve"),
        on_step=lambda _step: calls.append("step"),
    )
    assert report.outcome == "done"
    assert calls == ["show", "approve", *["step"] * len(report.done)]


def test_a_plan_without_steps_needs_no_approval(connection: Connection) -> None:
    placed(connection)

    def reject(_plan: Plan) -> None:
        raise AssertionError("there is nothing to approve")

    again = planner_of([GuestRequest(web("skylake-2s"), GUEST)], SHRINK)
    assert carry_out(again, connection, approve=reject).outcome == "nothing to do"


def test_a_rejected_plan_changes_nothing(connection: Connection, sim: SimulatedResctrl) -> None:
    before = sim.tree()

    def reject(_plan: Plan) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        carry_out(planner_of([GuestRequest(web("skylake-2s"), GUEST)], SHRINK), connection, approve=reject)
    assert sim.tree() == before


def test_a_host_that_changes_during_approval_is_refused(connection: Connection, sim: SimulatedResctrl) -> None:
    with pytest.raises(ApplyRefusedError) as refused:
        carry_out(
            planner_of([GuestRequest(web("skylake-2s"), GUEST)], SHRINK),
            connection,
            approve=lambda _plan: sim.mkdir("other"),
        )
    assert refused.value.finding.rule == "CT501"


# removal


@pytest.mark.parametrize(
    "removal",
    [
        Removal(),
        Removal(guest="web"),
        Removal(machine_name="cachetune-web"),
        Removal(domain=domain(name="web")),
    ],
)
def test_a_guest_is_removed_however_it_is_named(
    removal: Removal, connection: Connection, sim: SimulatedResctrl
) -> None:
    before = sim.tree()
    placed(connection)
    assert sim.tree() != before
    assert carry_out(removal_planner(removal), connection).outcome == "done"
    assert sim.tree() == before
    assert load_ledger(connection.run).guests == {}


def looking_in(directory: Path) -> Selection:
    """Guests are looked for in this directory alone."""
    sources = SourceOptions(proc=directory, libvirt_run=directory / "libvirt", cgroup=directory / "cgroup")
    return Selection(sources=sources, guests_d=directory / "guests.d")


def test_a_guest_without_groups_has_nothing_to_remove_if_it_runs_or_has_a_tuning_file(
    connection: Connection, sim: SimulatedResctrl, tmp_path: Path
) -> None:
    add_process(tmp_path, 100, {100: "main", 101: "CPU 0/KVM"}, arguments=["kvm", "-name", "guest=db"])
    (tmp_path / "guests.d").mkdir()
    (tmp_path / "guests.d" / "mail.xml").write_text("<cputune/>")
    placed(connection)
    before = sim.tree()
    where = looking_in(tmp_path)
    for removal in (
        Removal(guest="db", selection=where),
        Removal(guest="mail", selection=where),
        Removal(machine_name="cachetune-db"),
    ):
        assert carry_out(removal_planner(removal), connection).outcome == "nothing to do"
    assert sim.tree() == before


@pytest.mark.parametrize("name", ["wbe", "", "../web", "6f1e6fa3-7fd9-4b0a-8a0c-5b9b5d1f3b10", "???"])
def test_a_guest_that_nothing_knows_is_an_error(name: str, connection: Connection, tmp_path: Path) -> None:
    placed(connection)
    with pytest.raises(UnknownGuestError, match="is not known") as caught:
        carry_out(removal_planner(Removal(guest=name, selection=looking_in(tmp_path))), connection)
    if name == "wbe":
        assert caught.value.hint == "did you mean 'web'?"


def test_a_name_with_the_same_group_names_does_not_remove_the_groups_of_another_guest(
    connection: Connection, sim: SimulatedResctrl, tmp_path: Path
) -> None:
    placed(connection)
    before = sim.tree()
    planner = removal_planner(Removal(guest="we_b", selection=looking_in(tmp_path)))
    with pytest.raises(UnknownGuestError) as caught:
        carry_out(planner, connection)
    assert caught.value.hint == "did you mean 'web'?"
    add_process(tmp_path, 100, {100: "main", 101: "CPU 0/KVM"}, arguments=["kvm", "-name", "guest=we_b"])
    with pytest.raises(ApplyRefusedError, match="'cachetune-web' is in use by the guest 'web'"):
        carry_out(planner, connection)
    assert sim.tree() == before


def test_removing_all_guests_without_groups_is_nothing_to_do(connection: Connection) -> None:
    report = carry_out(removal_planner(Removal()), connection)
    assert (report.outcome, report.machine_names, report.exit_code) == ("nothing to do", (), 0)


@pytest.mark.parametrize(
    ("groups", "text"),
    [
        ((), NOTHING),
        (
            ("qemu-3-web-vcpus_0", "qemu-3-web-vcpus_1", "qemu-4-web-db-vcpus_0"),
            f"{NOTHING} libvirt made qemu-3-web-vcpus_0 and qemu-3-web-vcpus_1, which cachetune does not remove.",
        ),
    ],
)
def test_a_removal_without_groups_names_those_that_libvirt_made_for_the_guest(
    groups: tuple[str, ...], text: str, sim: SimulatedResctrl, connection: Connection, tmp_path: Path
) -> None:
    for group in groups:
        sim.mkdir(group)
    add_process(tmp_path, 100, {100: "main", 101: "CPU 0/KVM"}, arguments=["kvm", "-name", "guest=web"])
    planner = removal_planner(Removal(guest="web", selection=looking_in(tmp_path)))
    assert summary_sentence(planner(connection.look(Ledger()), Ledger())) == text
