"""What the agent decides, without touching anything: one sentence for each situation of a guest."""

import copy
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from cachetune.agent.decide import (
    AgentOptions,
    Apply,
    Clear,
    Decision,
    Forget,
    Hold,
    Memory,
    Observation,
    Stay,
    decide,
    retry_key,
)
from cachetune.guests.model import Guest, Thread
from cachetune.guests.tuning_files import TuningFile
from cachetune.plan import Plan
from cachetune.plan.request import GuestRequest
from cachetune.service.plans import plan_requests
from tests.agent.machine import (
    BROKEN,
    FILE,
    KEPT,
    LIBVIRTS,
    NO_FILE,
    OPTIONS,
    OTHER_UUID,
    UUID,
    Machine,
    runs,
    runs_under_libvirt,
    wanted,
)
from tests.samples import GUEST, TIDS


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def decision(
    observation: Observation, memory: Memory | None = None, options: AgentOptions = OPTIONS, now: float = 0.0
) -> Decision:
    """What is decided for the one guest."""
    known = {} if memory is None else {"web": memory}
    ((_, decided),) = decide(observation, known, options, now).values()
    return decided


def placing(decided: Decision) -> Apply:
    assert isinstance(decided, Apply), decided
    return decided


def failure(decided: Decision) -> str:
    """The reason of a failure."""
    assert isinstance(decided, Stay), decided
    assert decided.state == "failed"
    return decided.reason


# guests with a file


def test_a_guest_that_runs_and_has_a_file_is_placed(machine: Machine) -> None:
    made = placing(decision(machine.observation(runs(), files=FILE)))
    assert (made.request.machine_name, made.request.guest, made.problem) == ("cachetune-web", GUEST, "")


def test_a_guest_that_is_placed_stays(machine: Machine) -> None:
    assert decision(machine.placed().observation(runs(), files=FILE)) == Stay("placed")


def test_a_vcpu_that_was_plugged_in_is_placed(machine: Machine) -> None:
    before = msgspec.structs.replace(GUEST, threads=GUEST.threads[:1])
    machine.placed(before)
    assert decision(machine.observation(runs(before), files=FILE)) == Stay("placed")
    placing(decision(machine.observation(runs(), files=FILE)))


def test_an_edited_file_is_applied(machine: Machine) -> None:
    made = placing(decision(machine.placed().observation(runs(), files={"web": TuningFile(wanted(2))}), KEPT))
    assert made.request.domain == wanted(2)


def test_groups_that_others_have_changed_are_mended(machine: Machine) -> None:
    machine.placed().sim.write("cachetune-web-vcpus_0-1/schemata", "L3:0=1\n")
    placing(decision(machine.observation(runs(), files=FILE)))


def test_a_file_that_has_become_invalid_leaves_its_last_valid_xml_in_force(machine: Machine) -> None:
    memory = msgspec.structs.replace(KEPT, domain=wanted())
    assert failure(decision(machine.placed().observation(runs(), files=BROKEN), memory)) == BROKEN["web"].problem
    machine.sim.write("tasks", str(TIDS[0]))
    made = placing(decision(machine.observation(runs(), files=BROKEN), memory))
    assert (made.request.domain, made.problem) == (wanted(), BROKEN["web"].problem)


def test_an_invalid_file_of_which_no_valid_xml_is_known_changes_nothing(machine: Machine) -> None:
    assert failure(decision(machine.observation(runs(), files=BROKEN))) == BROKEN["web"].problem
    assert failure(decision(machine.placed().observation(runs(), files=BROKEN), KEPT)) == BROKEN["web"].problem


def test_a_file_that_is_missing_twice_in_a_row_is_gone(machine: Machine) -> None:
    observation = machine.placed().observation(runs(), files=NO_FILE)
    assert decision(observation, KEPT) == Hold("its file is gone")
    again = msgspec.structs.replace(KEPT, suspected="its file is gone")
    assert decision(observation, again) == Clear("its file is gone", keep=False)


def test_without_the_directory_no_file_is_known_to_be_gone(machine: Machine) -> None:
    memory = msgspec.structs.replace(KEPT, domain=wanted(), suspected="its file is gone")
    reason = failure(decision(machine.placed().observation(runs(), files=None), memory))
    assert reason == "the directory of its file is not there"


def test_a_guest_without_file_and_groups_is_forgotten(machine: Machine) -> None:
    assert decision(machine.observation(runs(), files=NO_FILE), KEPT) == Forget()


def test_groups_that_the_operator_applied_by_hand_are_not_the_agents(machine: Machine) -> None:
    assert decide(machine.placed().observation(runs(), files=NO_FILE), {}, OPTIONS, 0.0) == {}


def test_a_guest_that_does_not_run_is_waited_for(machine: Machine) -> None:
    assert decision(machine.observation(files=FILE)) == Stay("waiting", "it does not run")


@pytest.mark.parametrize("files", [FILE, BROKEN])
def test_the_groups_of_a_guest_that_has_ended_are_removed(machine: Machine, files: dict[str, TuningFile]) -> None:
    observation = machine.placed().ended().observation(files=files)
    assert decision(observation, KEPT) == Clear("it does not run", keep=True)


def test_groups_that_hold_threads_are_kept_though_the_guest_is_not_found(machine: Machine) -> None:
    decided = decision(machine.placed().observation(files=FILE), KEPT)
    assert decided == Stay("waiting", "it is not found, but its groups still hold threads")


def test_a_guest_that_was_started_anew_is_placed_with_its_new_threads(machine: Machine) -> None:
    machine.placed().ended()
    new = Guest(5001, (Thread(5001, 9, "qemu"), Thread(5002, 9, "CPU 0/KVM", 0), Thread(5003, 9, "CPU 1/KVM", 1)))
    for thread in new.threads:
        machine.sim.add_task(thread.tid)
    assert placing(decision(machine.observation(runs(new), files=FILE), KEPT)).request.guest == new


def test_empty_groups_of_another_guest_of_that_name_are_removed_first(machine: Machine) -> None:
    files = {"web": TuningFile(wanted(uuid=None))}
    machine.placed()
    kept = failure(decision(machine.observation(runs(uuid=OTHER_UUID), files=files), KEPT))
    assert "'cachetune-web' is in use by the guest 'web'" in kept
    decided = decision(machine.ended().observation(runs(uuid=OTHER_UUID), files=files), KEPT)
    assert decided == Clear("they were those of another guest of this name", keep=True)
    placing(decision(machine.observation(runs(uuid=None), files=files), KEPT))


def test_a_domain_that_does_not_fit_fails_with_the_reason(machine: Machine) -> None:
    reason = failure(decision(machine.observation(runs(), files=FILE), options=AgentOptions(shrink_default=False)))
    assert "no room for 3 ways" in reason
    assert reason.endswith("[CT207]")


def test_two_guests_of_one_name_are_told_apart_by_uuid_only(machine: Machine) -> None:
    other = msgspec.structs.replace(GUEST, pid=99)
    both = (runs(uuid=OTHER_UUID), runs(other))
    without = {"web": TuningFile(wanted(uuid=None))}
    assert "(processes 4711, 99)" in failure(decision(machine.observation(*both, files=without)))
    assert placing(decision(machine.observation(*both, files=FILE))).request.guest == other


def test_a_guest_with_another_uuid_than_its_file_is_not_that_guest(machine: Machine) -> None:
    reason = failure(decision(machine.observation(runs(uuid=OTHER_UUID), files=FILE)))
    assert reason == f"a guest of this name runs with the uuid {OTHER_UUID}; its file has {UUID}"


def test_a_process_that_calls_itself_like_a_guest_of_libvirt_does_not_count_beside_it(machine: Machine) -> None:
    plain = runs(libvirt_id=7, xml="<domain type='kvm' id='7'><name>web</name><vcpu>4</vcpu></domain>")
    liar = runs(msgspec.structs.replace(GUEST, pid=99))
    assert placing(decision(machine.observation(liar, plain, files=FILE))).request.guest == GUEST


def test_a_guest_whose_vcpus_cannot_be_told_apart_fails_when_two_rounds_see_it(machine: Machine) -> None:
    problem = "it runs all its vCPUs in one thread"
    observation = machine.observation(runs(problem=problem), files=FILE)
    assert decision(observation) == Hold(problem)
    again = msgspec.structs.replace(KEPT, suspected=problem)
    assert decision(observation, again) == Stay("failed", problem, suspected=problem)


def test_a_name_that_no_group_can_have_fails_alone(machine: Machine) -> None:
    files = {**FILE, "äöü": TuningFile(wanted(name="äöü", uuid=None))}
    decided = decide(machine.observation(runs(), runs(name="äöü"), files=files), {}, OPTIONS, 0.0)
    placing(decided["web"][1])
    assert "no characters for a group name" in failure(decided["äöü"][1])


def test_one_guest_that_does_not_fit_does_not_hinder_another(machine: Machine) -> None:
    files = {**FILE, "big": TuningFile(wanted(11, name="big", uuid=None))}
    decided = decide(machine.observation(runs(), runs(name="big"), files=files), {}, OPTIONS, 0.0)
    placing(decided["web"][1])
    assert "[CT" in failure(decided["big"][1])


def test_a_bug_in_one_guest_does_not_hinder_another(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail_for_web(requests: Sequence[GuestRequest], *_: object) -> Plan:
        if requests[0].domain.name == "web":
            raise ZeroDivisionError("division by zero")
        return plan_requests(requests, *_)  # type: ignore[arg-type]

    monkeypatch.setattr("cachetune.agent.decide.plan_requests", fail_for_web)
    files = {**FILE, "zoo": TuningFile(wanted(1, name="zoo"))}
    decided = decide(machine.observation(runs(), runs(name="zoo"), files=files), {}, OPTIONS, 0.0)
    assert failure(decided["web"][1]) == "ZeroDivisionError: division by zero (this is a bug)"
    placing(decided["zoo"][1])


def test_groups_of_a_guest_whose_name_only_differs_in_what_groups_cannot_have_are_its_own(machine: Machine) -> None:
    files = {**FILE, "w_eb": TuningFile(wanted(name="w_eb", uuid=None))}
    machine.placed()
    both = decide(machine.observation(runs(), files=files), {"web": KEPT}, OPTIONS, 0.0)
    assert (both["web"][1], both["w_eb"][1]) == (Stay("placed"), Stay("waiting", "it does not run"))
    ended = decide(machine.ended().observation(files=files), {"web": KEPT}, OPTIONS, 0.0)
    assert (ended["web"][1], ended["w_eb"][1]) == (
        Clear("it does not run", keep=True),
        Stay("waiting", "it does not run"),
    )


# trying again


def test_what_failed_is_not_tried_before_its_time(machine: Machine) -> None:
    observation = machine.observation(runs(), files=FILE)
    first = placing(decision(observation))
    failed = msgspec.structs.replace(KEPT, tried=retry_key(first), failures=1, not_before=10.0)
    assert decision(observation, failed, now=9.9) == Hold("")
    assert decision(observation, failed, now=10.0) == first


def test_threads_of_the_process_that_come_and_go_do_not_have_it_tried_earlier(machine: Machine) -> None:
    first = placing(decision(machine.observation(runs(), files=FILE)))
    failed = msgspec.structs.replace(KEPT, tried=retry_key(first), failures=1, not_before=10.0)
    busy = msgspec.structs.replace(GUEST, threads=(*GUEST.threads, Thread(4720, 5, "worker")))
    assert decision(machine.observation(runs(busy), files=FILE), failed) == Hold("")
    restarted = Guest(TIDS[0], tuple(msgspec.structs.replace(t, start_time=9) for t in GUEST.threads))
    placing(decision(machine.observation(runs(restarted), files=FILE), failed))


def test_something_else_than_what_failed_is_tried_at_once(machine: Machine) -> None:
    first = placing(decision(machine.observation(runs(), files=FILE)))
    failed = msgspec.structs.replace(KEPT, tried=retry_key(first), failures=1, not_before=10.0)
    placing(decision(machine.observation(runs(), files={"web": TuningFile(wanted(2))}), failed))


# libvirt's guests


def test_a_guest_that_libvirt_has_placed_stays(machine: Machine) -> None:
    machine.placed_by_libvirt(*TIDS[:2])
    assert decision(machine.observation(runs_under_libvirt(), files=NO_FILE)) == Stay("placed")


def test_a_guest_of_libvirt_without_tuning_is_nobodys_business(machine: Machine) -> None:
    plain = runs(libvirt_id=7, xml="<domain type='kvm' id='7'><name>web</name><vcpu>4</vcpu></domain>")
    assert decide(machine.observation(plain, files=NO_FILE), {}, OPTIONS, 0.0) == {}


def test_live_xml_that_cannot_be_read_asks_for_nothing(machine: Machine) -> None:
    broken = runs(libvirt_id=7, xml="<domain><name>web</name>")
    assert decide(machine.observation(broken, files=NO_FILE), {}, OPTIONS, 0.0) == {}


DRIFTS = {
    "a thread is missing": lambda machine: machine.placed_by_libvirt(TIDS[0]),
    "a mask was changed": lambda machine: machine.placed_by_libvirt(*TIDS[:2], ways="3"),
    "the group was deleted": lambda machine: machine,
}


@pytest.mark.parametrize("how", DRIFTS)
def test_a_difference_in_libvirts_groups_counts_when_two_rounds_see_it(machine: Machine, how: str) -> None:
    observation = DRIFTS[how](machine).observation(runs_under_libvirt(), files=NO_FILE)
    first = decision(observation)
    assert isinstance(first, Hold)
    again = msgspec.structs.replace(LIBVIRTS, suspected=first.suspected)
    second = Stay("drifted", first.suspected, suspected=first.suspected)
    assert decision(observation, again) == second
    assert "qemu-7-web-vcpus_0-1" in second.reason or "no room" in second.reason


def test_a_guest_with_a_file_and_tuning_in_its_own_xml_is_left_to_libvirt(machine: Machine) -> None:
    machine.placed_by_libvirt(*TIDS[:2])
    assert "its own XML asks for tuning, too" in failure(
        decision(machine.observation(runs_under_libvirt(), files=FILE))
    )


def test_a_guest_of_libvirt_that_has_ended_is_forgotten(machine: Machine) -> None:
    assert decision(machine.observation(files=NO_FILE), LIBVIRTS) == Forget()


def test_deciding_changes_nothing_of_what_it_is_given(machine: Machine) -> None:
    observation = machine.placed().observation(runs(), files=FILE)
    before = copy.deepcopy((observation.files, observation.host, observation.ledger))
    decide(observation, {"web": KEPT}, OPTIONS, 0.0)
    assert (observation.files, observation.host, observation.ledger) == before
