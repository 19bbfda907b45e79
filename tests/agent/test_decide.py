"""The agent's decisions as a pure function: one test for each situation of a guest."""

import copy
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from cachetune.agent.decide import (
    AgentOptions,
    Apply,
    Decision,
    Forget,
    Memory,
    NoAction,
    Observation,
    Recheck,
    Remove,
    decide,
    retry_key,
)
from cachetune.guests.model import Guest, Thread
from cachetune.guests.tuning_files import TuningFile
from cachetune.plan import Plan
from cachetune.plan.request import GuestRequest
from cachetune.service.plans import compare_requests
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
    """The decision about the only guest."""
    known = {} if memory is None else {"web": memory}
    ((_, decided),) = decide(observation, known, options, now).values()
    return decided


def applied(decided: Decision) -> Apply:
    assert isinstance(decided, Apply), decided
    return decided


def failure(decided: Decision) -> str:
    """The reason of a failure."""
    assert isinstance(decided, NoAction), decided
    assert decided.state == "failed"
    return decided.reason


# guests with a file


def test_a_guest_that_runs_and_has_a_file_is_placed(machine: Machine) -> None:
    made = applied(decision(machine.observation(runs(), files=FILE)))
    assert (made.request.machine_name, made.request.guest, made.problem) == ("cachetune-web", GUEST, "")


def test_a_guest_that_is_placed_needs_no_action(machine: Machine) -> None:
    assert decision(machine.placed().observation(runs(), files=FILE)) == NoAction("placed")


def test_a_hotplugged_vcpu_is_placed(machine: Machine) -> None:
    before = msgspec.structs.replace(GUEST, threads=GUEST.threads[:1])
    machine.placed(before)
    assert decision(machine.observation(runs(before), files=FILE)) == NoAction("placed")
    applied(decision(machine.observation(runs(), files=FILE)))


def test_an_edited_file_is_applied(machine: Machine) -> None:
    made = applied(decision(machine.placed().observation(runs(), files={"web": TuningFile(wanted(2))}), KEPT))
    assert made.request.domain == wanted(2)


def test_groups_changed_by_another_program_are_repaired(machine: Machine) -> None:
    machine.placed().sim.write("cachetune-web-vcpus_0-1/schemata", "L3:0=1\n")
    applied(decision(machine.observation(runs(), files=FILE)))


def test_the_last_valid_content_of_an_invalid_file_stays_in_force(machine: Machine) -> None:
    memory = msgspec.structs.replace(KEPT, domain=wanted())
    assert failure(decision(machine.placed().observation(runs(), files=BROKEN), memory)) == BROKEN["web"].problem
    machine.sim.write("tasks", str(TIDS[0]))
    made = applied(decision(machine.observation(runs(), files=BROKEN), memory))
    assert (made.request.domain, made.problem) == (wanted(), BROKEN["web"].problem)


def test_a_file_that_is_refused_and_then_invalid_fails_with_both_reasons(machine: Machine) -> None:
    memory = msgspec.structs.replace(KEPT, domain=wanted(12))
    why = failure(decision(machine.observation(runs(), files=BROKEN), memory))
    assert why.startswith(f"{BROKEN['web'].problem}; its last valid content: ")
    assert why.endswith("[CT207]")


def test_an_invalid_file_without_known_valid_content_changes_nothing(machine: Machine) -> None:
    assert failure(decision(machine.observation(runs(), files=BROKEN))) == BROKEN["web"].problem
    assert failure(decision(machine.placed().observation(runs(), files=BROKEN), KEPT)) == BROKEN["web"].problem


def test_a_file_missing_in_two_consecutive_rounds_counts_as_removed(machine: Machine) -> None:
    observation = machine.placed().observation(runs(), files=NO_FILE)
    assert decision(observation, KEPT) == Recheck("tuning file removed")
    again = msgspec.structs.replace(KEPT, unconfirmed="tuning file removed")
    assert decision(observation, again) == Remove("tuning file removed", keep=False)


def test_without_the_directory_no_file_counts_as_removed(machine: Machine) -> None:
    memory = msgspec.structs.replace(KEPT, domain=wanted(), unconfirmed="tuning file removed")
    reason = failure(decision(machine.placed().observation(runs(), files=None), memory))
    assert reason == "the directory of tuning files is missing"


def test_a_guest_without_file_and_groups_is_forgotten(machine: Machine) -> None:
    assert decision(machine.observation(runs(), files=NO_FILE), KEPT) == Forget()


def test_groups_that_the_operator_applied_by_hand_are_not_the_agents(machine: Machine) -> None:
    assert decide(machine.placed().observation(runs(), files=NO_FILE), {}, OPTIONS, 0.0) == {}


def test_a_guest_that_is_not_running_is_waiting(machine: Machine) -> None:
    assert decision(machine.observation(files=FILE)) == NoAction("waiting", "not running")


@pytest.mark.parametrize("files", [FILE, BROKEN])
def test_the_groups_of_a_guest_that_has_ended_are_removed(machine: Machine, files: dict[str, TuningFile]) -> None:
    observation = machine.placed().ended().observation(files=files)
    assert decision(observation, KEPT) == Remove("not running", keep=True)


def test_groups_with_threads_are_kept_even_if_the_guest_is_not_found(machine: Machine) -> None:
    decided = decision(machine.placed().observation(files=FILE), KEPT)
    assert decided == NoAction("waiting", "guest not found, but its groups still hold threads")


def test_a_restarted_guest_is_placed_with_its_new_threads(machine: Machine) -> None:
    machine.placed().ended()
    new = Guest(5001, (Thread(5001, 9, "qemu"), Thread(5002, 9, "CPU 0/KVM", 0), Thread(5003, 9, "CPU 1/KVM", 1)))
    for thread in new.threads:
        machine.sim.add_task(thread.tid)
    assert applied(decision(machine.observation(runs(new), files=FILE), KEPT)).request.guest == new


def test_empty_groups_of_another_guest_with_the_name_are_removed_first(machine: Machine) -> None:
    files = {"web": TuningFile(wanted(uuid=None))}
    machine.placed()
    kept = failure(decision(machine.observation(runs(uuid=OTHER_UUID), files=files), KEPT))
    assert "'cachetune-web' is in use by the guest 'web'" in kept
    decided = decision(machine.ended().observation(runs(uuid=OTHER_UUID), files=files), KEPT)
    assert decided == Remove("left by another guest with this name", keep=True)
    applied(decision(machine.observation(runs(uuid=None), files=files), KEPT))


def test_a_domain_that_does_not_fit_fails_with_the_reason(machine: Machine) -> None:
    reason = failure(decision(machine.observation(runs(), files=FILE), options=AgentOptions(shrink_default=False)))
    assert "no room for 3 ways" in reason
    assert reason.endswith("[CT207]")


def test_two_guests_with_one_name_are_distinguished_only_by_uuid(machine: Machine) -> None:
    other = msgspec.structs.replace(GUEST, pid=99)
    both = (runs(uuid=OTHER_UUID), runs(other))
    without = {"web": TuningFile(wanted(uuid=None))}
    assert "(processes 4711, 99)" in failure(decision(machine.observation(*both, files=without)))
    assert applied(decision(machine.observation(*both, files=FILE))).request.guest == other


def test_a_guest_whose_uuid_differs_from_its_file_fails(machine: Machine) -> None:
    reason = failure(decision(machine.observation(runs(uuid=OTHER_UUID), files=FILE)))
    assert reason == f"the running guest has UUID {OTHER_UUID}, its tuning file has {UUID}"


def test_a_process_that_claims_the_name_of_a_libvirt_guest_is_ignored(machine: Machine) -> None:
    plain = runs(libvirt_id=7, xml="<domain type='kvm' id='7'><name>web</name><vcpu>4</vcpu></domain>")
    liar = runs(msgspec.structs.replace(GUEST, pid=99))
    assert applied(decision(machine.observation(liar, plain, files=FILE))).request.guest == GUEST


def test_a_guest_with_unidentified_vcpus_fails_once_two_rounds_observe_it(machine: Machine) -> None:
    problem = "it runs all its vCPUs in one thread"
    observation = machine.observation(runs(problem=problem), files=FILE)
    assert decision(observation) == Recheck(problem)
    again = msgspec.structs.replace(KEPT, unconfirmed=problem)
    assert decision(observation, again) == NoAction("failed", problem, unconfirmed=problem)


def test_a_name_without_characters_for_a_group_fails_alone(machine: Machine) -> None:
    files = {**FILE, "äöü": TuningFile(wanted(name="äöü", uuid=None))}
    decided = decide(machine.observation(runs(), runs(name="äöü"), files=files), {}, OPTIONS, 0.0)
    applied(decided["web"][1])
    assert "no characters for a group name" in failure(decided["äöü"][1])


def test_one_guest_that_does_not_fit_does_not_affect_another(machine: Machine) -> None:
    files = {**FILE, "big": TuningFile(wanted(11, name="big", uuid=None))}
    decided = decide(machine.observation(runs(), runs(name="big"), files=files), {}, OPTIONS, 0.0)
    applied(decided["web"][1])
    assert "[CT" in failure(decided["big"][1])


def test_a_bug_in_one_guest_does_not_affect_another(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail_for_web(requests: Sequence[GuestRequest], *_: object) -> Plan:
        if requests[0].domain.name == "web":
            raise ZeroDivisionError("division by zero")
        return compare_requests(requests, *_)  # type: ignore[arg-type]

    monkeypatch.setattr("cachetune.agent.decide.compare_requests", fail_for_web)
    files = {**FILE, "zoo": TuningFile(wanted(1, name="zoo"))}
    decided = decide(machine.observation(runs(), runs(name="zoo"), files=files), {}, OPTIONS, 0.0)
    assert failure(decided["web"][1]) == "ZeroDivisionError: division by zero (this is a bug)"
    applied(decided["zoo"][1])


def test_guests_whose_names_map_to_one_machine_name_do_not_share_groups(machine: Machine) -> None:
    files = {**FILE, "w_eb": TuningFile(wanted(name="w_eb", uuid=None))}
    machine.placed()
    both = decide(machine.observation(runs(), files=files), {"web": KEPT}, OPTIONS, 0.0)
    assert (both["web"][1], both["w_eb"][1]) == (NoAction("placed"), NoAction("waiting", "not running"))
    ended = decide(machine.ended().observation(files=files), {"web": KEPT}, OPTIONS, 0.0)
    assert (ended["web"][1], ended["w_eb"][1]) == (
        Remove("not running", keep=True),
        NoAction("waiting", "not running"),
    )


# retries


def test_a_failed_decision_is_not_retried_too_early(machine: Machine) -> None:
    observation = machine.observation(runs(), files=FILE)
    first = applied(decision(observation))
    failed = msgspec.structs.replace(KEPT, tried=retry_key(first), failures=1, not_before=10.0)
    assert decision(observation, failed, now=9.9) == Recheck("")
    assert decision(observation, failed, now=10.0) == first


def test_short_lived_threads_of_the_process_do_not_cause_an_early_retry(machine: Machine) -> None:
    first = applied(decision(machine.observation(runs(), files=FILE)))
    failed = msgspec.structs.replace(KEPT, tried=retry_key(first), failures=1, not_before=10.0)
    busy = msgspec.structs.replace(GUEST, threads=(*GUEST.threads, Thread(4720, 5, "worker")))
    assert decision(machine.observation(runs(busy), files=FILE), failed) == Recheck("")
    restarted = Guest(TIDS[0], tuple(msgspec.structs.replace(t, start_time=9) for t in GUEST.threads))
    applied(decision(machine.observation(runs(restarted), files=FILE), failed))


def test_a_new_request_is_tried_at_once_after_a_failure(machine: Machine) -> None:
    first = applied(decision(machine.observation(runs(), files=FILE)))
    failed = msgspec.structs.replace(KEPT, tried=retry_key(first), failures=1, not_before=10.0)
    applied(decision(machine.observation(runs(), files={"web": TuningFile(wanted(2))}), failed))


# libvirt's guests


def test_a_guest_that_libvirt_placed_needs_no_action(machine: Machine) -> None:
    machine.placed_by_libvirt(*TIDS[:2])
    assert decision(machine.observation(runs_under_libvirt(), files=NO_FILE)) == NoAction("placed")


def test_a_libvirt_guest_without_tuning_is_not_managed(machine: Machine) -> None:
    plain = runs(libvirt_id=7, xml="<domain type='kvm' id='7'><name>web</name><vcpu>4</vcpu></domain>")
    assert decide(machine.observation(plain, files=NO_FILE), {}, OPTIONS, 0.0) == {}


def test_invalid_live_xml_requests_nothing(machine: Machine) -> None:
    broken = runs(libvirt_id=7, xml="<domain><name>web</name>")
    assert decide(machine.observation(broken, files=NO_FILE), {}, OPTIONS, 0.0) == {}


DRIFTS = {
    "a thread is missing": lambda machine: machine.placed_by_libvirt(TIDS[0]),
    "a mask was changed": lambda machine: machine.placed_by_libvirt(*TIDS[:2], ways="3"),
    "the group was deleted": lambda machine: machine,
}


@pytest.mark.parametrize("how", DRIFTS)
def test_drift_of_libvirts_groups_counts_once_two_rounds_observe_it(machine: Machine, how: str) -> None:
    observation = DRIFTS[how](machine).observation(runs_under_libvirt(), files=NO_FILE)
    first = decision(observation)
    assert isinstance(first, Recheck)
    again = msgspec.structs.replace(LIBVIRTS, unconfirmed=first.unconfirmed)
    second = NoAction("drifted", first.unconfirmed, unconfirmed=first.unconfirmed)
    assert decision(observation, again) == second
    assert "qemu-7-web-vcpus_0-1" in second.reason or "no room" in second.reason


def test_a_guest_with_a_file_and_tuning_in_its_live_xml_fails(machine: Machine) -> None:
    machine.placed_by_libvirt(*TIDS[:2])
    assert "both its tuning file and its live XML request tuning" in failure(
        decision(machine.observation(runs_under_libvirt(), files=FILE))
    )


def test_a_libvirt_guest_that_has_ended_is_forgotten(machine: Machine) -> None:
    assert decision(machine.observation(files=NO_FILE), LIBVIRTS) == Forget()


def test_decide_does_not_change_its_arguments(machine: Machine) -> None:
    observation = machine.placed().observation(runs(), files=FILE)
    before = copy.deepcopy((observation.files, observation.host, observation.ledger))
    decide(observation, {"web": KEPT}, OPTIONS, 0.0)
    assert (observation.files, observation.host, observation.ledger) == before
