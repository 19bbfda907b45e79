"""Plans for threads other than vCPUs: which thread gets which group, its name, and what the guest lacks."""

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from cachetune.domain import load
from cachetune.domain.model import Domain
from cachetune.guests.model import Guest, Thread
from cachetune.host.read import read_host
from cachetune.plan import GuestRequest, Options, Plan, PlanRefusedError, plan_guests
from cachetune.plan.groups.names import belongs_to, scope_of
from cachetune.plan.groups.translate import memberships, translate
from cachetune.plan.model import PlannedGroup
from cachetune.plan.render import render
from cachetune.sim import SimulatedResctrl, load_profile

NODE = "<node id='0' bandwidth='50'/>"
KINDS = ("threads='emulator'", "threads='iothreads'", "threads='vhost'")
PID = 40
GUEST = Guest(
    PID,
    (
        Thread(40, comm="qemu-kvm"),
        Thread(41, comm="CPU 0/KVM", vcpu=0),
        Thread(42, comm="CPU 1/KVM", vcpu=1),
        Thread(43, comm="IO iothread1", iothread="iothread1"),
        Thread(44, comm="IO iothread2", iothread="iothread2"),
        Thread(45, comm="IO scsi", iothread="scsi"),
        Thread(46, comm="worker"),
        Thread(47, comm="vhost-40", vhost="thread"),
        Thread(7, comm="vhost-40", vhost="kernel thread"),
    ),
)


def domain(*groups: str, name: str = "web") -> Domain:
    loaded = load(f"<cputune>{''.join(groups)}</cputune>".encode(), "web.xml")
    assert loaded.domain is not None, loaded.findings
    return msgspec.structs.replace(loaded.domain, name=name)


def tune(attributes: str, inner: str = NODE) -> str:
    return f"<memorytune {attributes}>{inner}</memorytune>"


def placed(*groups: str, guest: Guest = GUEST) -> dict[str, list[int]]:
    """The threads of each group, by the last part of its path."""
    found: dict[str, list[int]] = {}
    for tid, where in memberships(translate(domain(*groups), "cachetune-web"), guest).items():
        group = (where.monitor or where.control).rpartition("/")[2].removeprefix("cachetune-web-")
        found.setdefault(group, []).append(tid)
    return found


def test_each_kind_has_its_own_threads() -> None:
    assert placed(*map(tune, ("vcpus='0-1'", *KINDS))) == {
        "vcpus_0-1": [41, 42],
        "threads_emulator": [40, 46],
        "threads_iothreads": [43, 44, 45],
        "threads_vhost": [47, 7],
    }


def test_vhost_workers_without_a_group_are_emulator_threads_on_every_kernel() -> None:
    assert placed(tune("threads='emulator'")) == {"threads_emulator": [40, 46, 47, 7]}


def test_iothreads_are_chosen_by_the_number_at_the_end_of_their_name() -> None:
    assert placed(tune("threads='iothreads:1'"), tune("threads='iothreads:2-9'")) == {
        "threads_iothreads_1": [43],
        "threads_iothreads_2-9": [44],
    }


@pytest.mark.parametrize(
    ("name", "number"), [("iothread1", 1), ("io01", 1), ("disk-1", 1), ("iothread-1…", None), ("1a", None)]
)
def test_a_name_without_a_number_at_its_end_is_chosen_by_no_number(name: str, number: int | None) -> None:
    guest = Guest(PID, (Thread(PID), Thread(43, iothread=name)))
    assert placed(tune("threads='iothreads:1'"), guest=guest) == ({"threads_iothreads_1": [43]} if number else {})
    assert placed(tune("threads='iothreads'"), guest=guest) == {"threads_iothreads": [43]}


def test_the_whole_process_has_all_its_threads_but_no_kernel_thread() -> None:
    assert placed(tune("")) == {"cachetune-web": [40, 41, 42, 43, 44, 45, 46, 47]}


def test_parts_of_the_whole_process_are_monitored_on_their_own() -> None:
    monitors = "<monitor threads='emulator'/><monitor threads='iothreads:1'/><monitor vcpus='1'/>"
    assert placed(tune("", NODE + monitors)) == {
        "threads_emulator": [40, 46, 47],
        "threads_iothreads_1": [43],
        "vcpus_1": [42],
        "cachetune-web": [41, 44, 45],
    }


def test_a_monitor_alone_reads_its_threads_in_the_default_group() -> None:
    (group,) = translate(domain(tune("threads='vhost'", "<monitor/>")), "cachetune-web")
    assert group.path == "mon_groups/cachetune-web-threads_vhost"
    assert placed(tune("threads='vhost'", "<monitor/>")) == {"threads_vhost": [47, 7]}


def test_threads_of_unknown_kinds_are_not_taken_for_the_emulators() -> None:
    guest = msgspec.structs.replace(GUEST, kinds_known=False)
    assert placed(tune("threads='emulator'"), guest=guest) == {"threads_emulator": [47, 7]}


@pytest.mark.parametrize(
    ("path", "machine", "vcpus", "threads"),
    [
        ("cachetune-web", "cachetune-web", None, None),
        ("cachetune-web-vcpus_0-1,4", "cachetune-web", "0-1,4", None),
        ("x/mon_groups/cachetune-web-threads_emulator", "cachetune-web", None, "emulator"),
        ("cachetune-web-threads_iothreads_1-2", "cachetune-web", None, "iothreads:1-2"),
        ("cachetune-web-threads_iothreads_2-1", "cachetune-web-threads_iothreads_2-1", None, None),
        ("cachetune-web-threads_all", "cachetune-web-threads_all", None, None),
        ("cachetune-web-emulator", "cachetune-web-emulator", None, None),
    ],
)
def test_the_name_of_a_group_says_whom_it_is_for(
    path: str, machine: str, vcpus: str | None, threads: str | None
) -> None:
    assert scope_of(path) == (machine, vcpus, threads)
    assert belongs_to(path, machine)
    assert not belongs_to(path, "cachetune")
    assert belongs_to(path, "cachetune-web") == (machine == "cachetune-web")


def host_with(threads: Guest = GUEST) -> SimulatedResctrl:
    sim = SimulatedResctrl(load_profile("skylake-2s"))
    for thread in threads.threads:
        sim.add_task(thread.tid)
    return sim


def planned(*groups: str, guest: Guest = GUEST) -> Plan:
    return plan_guests([GuestRequest(domain(*groups), guest)], read_host(host_with()), Options())


def test_a_guest_cannot_take_the_groups_of_another_by_its_name() -> None:
    """web has a group for its emulator threads, and another guest is called web-threads-emulator or web-emulator."""
    groups = {group.path for group in planned(tune("threads='emulator'")).groups}
    for name in ("web-emulator", "web-threads_emulator", "web-threads-emulator"):
        other = plan_guests([GuestRequest(domain(tune(""), name=name), GUEST)], read_host(host_with()), Options())
        assert not groups.intersection(group.path for group in other.groups)


def test_a_plan_says_whom_each_group_is_for() -> None:
    plan = planned(tune("threads='iothreads:1-2'", f"{NODE}<monitor threads='iothreads:2'/>"), tune("vcpus='0'"))
    assert [(g.kind, g.vcpus, g.threads, g.who) for g in plan.groups] == [
        ("control", "", "iothreads:1-2", "iothreads 1-2"),
        ("monitor", "", "iothreads:2", "iothread 2"),
        ("control", "0", None, "vCPU 0"),
    ]
    text = [line.text for line in render(plan)]
    assert "+ cachetune-web-threads_iothreads_1-2  (iothreads 1-2)" in text
    to = "the default group -> cachetune-web-threads_iothreads_1-2"
    assert f"> threads 43 (iothread1), 44 (iothread2): {to}" in text


def test_a_plan_says_which_threads_are_vhost_workers_and_shows_names_without_control_characters() -> None:
    guest = Guest(PID, (Thread(PID), Thread(43, iothread="io\x1b[31m1"), Thread(7, vhost="kernel thread")))
    text = [line.text for line in render(planned(*map(tune, KINDS), guest=guest))]
    assert "> thread 7 (vhost): the default group -> cachetune-web-threads_vhost" in text
    assert "> thread 43 (io\\x1b[31m1): the default group -> cachetune-web-threads_iothreads" in text


def test_a_document_from_before_has_groups_of_vcpus_only() -> None:
    group: dict[str, Any] = {"path": "a", "kind": "control", "vcpus": None, "action": "keep"}
    assert msgspec.convert(group, PlannedGroup).scope == (None, None)


def found(*groups: str, guest: Guest = GUEST) -> Mapping[str, str]:
    try:
        findings = planned(*groups, guest=guest).warnings
    except PlanRefusedError as refused:
        findings = refused.findings
    return {finding.rule: finding.message for finding in findings}


def test_iothreads_that_the_guest_lacks_are_named_with_those_that_it_has() -> None:
    assert found(tune("threads='iothreads:2-4'")) == {
        "CT411": "no thread for iothreads 3-4: the guest has iothread1, iothread2 and scsi"
    }
    alone = Guest(PID, GUEST.threads[:3])
    assert found(tune("threads='iothreads'"), guest=alone) == {
        "CT411": "no thread for iothreads: the guest has no iothreads"
    }


def test_a_guest_without_vhost_workers_and_one_without_names_are_reported() -> None:
    assert set(found(tune("threads='vhost'"), guest=Guest(PID, GUEST.threads[:3]))) == {"CT412"}
    unnamed = msgspec.structs.replace(GUEST, kinds_known=False)
    assert found(tune("threads='emulator'", NODE + "<monitor/>"), guest=unnamed) == {
        "CT410": "it is not known which threads are emulator threads: not all threads of the guest have names"
    }


@pytest.mark.parametrize("groups", [tune("threads='vhost'"), tune("vcpus='0'") + tune("threads='emulator'")])
def test_vcpu_threads_alone_are_not_enough_for_other_threads(groups: str) -> None:
    assert set(found(groups, guest=Guest(None, GUEST.threads[1:3]))) == {"CT404"}
