"""What lies around a run and is wrong, on a real kernel: a clear end, and nothing lost."""

import pytest

from tests.kernel import vm
from tests.kernel.conftest import FileOf, Scenario
from tests.kernel.domains import FAULTS
from tests.kernel.scenarios.surroundings import Outcome

pytestmark = pytest.mark.kernel
# Such a name makes a journal of several pages, so that a file system may be full after its first.
NAME = "faults-" + "x" * 40
DONE, ROLLED_BACK, COULD_NOT_START = 0, 1, 2
# What is wrong, how the command ends, and what it says.
WRONG = [
    ("read-only", ROLLED_BACK, "resctrl is mounted read-only"),
    ("not root", COULD_NOT_START, "journal.jsonl: "),
    ("not root, with its own files", ROLLED_BACK, "only root may do this"),
    ("plan edited", COULD_NOT_START, "CT504"),
    ("link in the way", COULD_NOT_START, "CT506"),
    ("not mounted", COULD_NOT_START, "not a mounted resctrl"),
]


@pytest.fixture(scope="module")
def outcome(scenario: Scenario, file_of: FileOf) -> Outcome:
    machine = vm.Machine(sockets=1, registers=False)
    domain = file_of(FAULTS.replace("<name>faults<", f"<name>{NAME}<"))
    found: Outcome = scenario("surroundings", Outcome, domain, machine=machine)[0]
    return found


@pytest.mark.parametrize(("wrong", "code", "says"), WRONG, ids=[name for name, _, _ in WRONG])
def test_a_failure_has_a_clear_message_and_leaves_the_tree_unchanged(
    wrong: str, code: int, says: str, outcome: Outcome
) -> None:
    case = outcome.cases[wrong]
    assert case.ran.code == code
    assert says in case.ran.err
    assert "Traceback" not in case.ran.err
    assert case.differs == ()


def test_a_symbolic_link_never_redirects_a_write(outcome: Outcome) -> None:
    assert outcome.victim == "precious"


def test_a_held_lock_is_waited_for_and_then_reported_with_the_holders_pid(outcome: Outcome) -> None:
    locked = outcome.locked
    assert locked.case.ran.code == COULD_NOT_START
    assert f"is still locked by process {locked.holder} after 1 s" in locked.case.ran.err
    assert locked.seconds > 1
    assert locked.case.differs == ()


@pytest.mark.parametrize("verb", ["journal edited", "apply with the journal edited"])
def test_an_edited_journal_is_refused_and_nothing_is_changed(verb: str, outcome: Outcome) -> None:
    case = outcome.cases[verb]
    assert case.ran.code == COULD_NOT_START
    assert "CT506" in case.ran.err
    assert case.differs == outcome.cases["half done"].differs != ()


@pytest.mark.parametrize("how", ["journal put back", "journal cut off"])
def test_a_journal_that_is_intact_or_cut_off_in_its_last_line_is_undone(how: str, outcome: Outcome) -> None:
    assert outcome.cases[how].ran.code == DONE
    assert outcome.cases[how].differs == ()


def test_a_file_system_that_is_full_or_fills_up_loses_nothing(outcome: Outcome) -> None:
    *short, enough = outcome.rooms
    endings = [(room.apply.ran.code, room.journal) for room in outcome.rooms]
    assert endings[0] == (COULD_NOT_START, False)  # no room for the plan
    assert (ROLLED_BACK, False) in endings  # none for one of the steps
    assert (DONE, True) in endings  # none for the ledger, which recover writes then
    assert endings[-1] == (DONE, False)
    unlogged = [room for room in outcome.rooms if room.apply.ran.code == DONE and not room.logged]
    assert unlogged
    for room in unlogged:
        assert "this change is not in the log /run/tiny/changes.jsonl: No space left on device" in room.apply.ran.err
    assert enough.logged
    assert {room.recover.ran.code for room in outcome.rooms} == {DONE}
    for room in short:
        assert room.recover.differs == (enough.apply.differs if room.apply.ran.code == DONE else ())


@pytest.mark.parametrize(("how", "why"), [("log full", "No space left on device"), ("log read-only", "Read-only file")])
def test_a_change_log_that_cannot_be_written_fails_no_change(how: str, why: str, outcome: Outcome) -> None:
    case = outcome.cases[how]
    assert case.ran.code == DONE
    assert f"this change is not in the log /run/tiny/changes.jsonl: {why}" in case.ran.err
    assert case.differs == outcome.cases["all well"].differs


def test_without_faults_the_guest_is_placed_and_removed(outcome: Outcome) -> None:
    assert [outcome.cases[name].ran.code for name in ("all well", "removed")] == [DONE, DONE]
    assert outcome.cases["all well"].differs
    assert outcome.cases["removed"].differs == ()
