"""Planning stays fast with many threads and many groups; its work is counted, not timed."""

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any, ClassVar

import msgspec
import pytest

from cachetune.cbm import Bandwidth
from cachetune.domain.model import BandwidthRequest, Domain, GroupRequest, MonitorRequest
from cachetune.guests.model import Guest, Thread
from cachetune.host.model import Group, Host
from cachetune.host.read import read_host
from cachetune.idset import format_ids
from cachetune.plan import Options, plan, plan_removal
from cachetune.plan.model import PlanGuest
from cachetune.sim import SimulatedResctrl, load_profile
from cachetune.units import Rate
from tests.samples import HERE

pytestmark = pytest.mark.slow

FIRST_TID = 100_000
MACHINE = "cachetune-big"


class Number(int):
    """A thread or vCPU number that counts comparisons, which a search through a list makes for each element."""

    compared: ClassVar[int] = 0

    def __eq__(self, other: object) -> bool:
        Number.compared += 1
        return int(self) == other

    __hash__ = int.__hash__


def big_host() -> Host:
    """A host with two caches, and enough CLOSIDs and RMIDs for all groups here."""
    host = read_host(SimulatedResctrl(load_profile("skylake-2s")))
    replace = msgspec.structs.replace
    return replace(
        host,
        caches=tuple(replace(c, num_closids=256) for c in host.caches),
        bandwidths=tuple(replace(b, num_closids=256) for b in host.bandwidths),
        monitors=tuple(replace(m, num_rmids=1024) for m in host.monitors),
    )


def big_domain(groups: int, threads: int) -> Domain:
    """Groups of equal size with bandwidth, each with a monitor for its first vCPU."""
    size = threads // groups
    requests = []
    for number in range(groups):
        vcpus = frozenset(map(Number, range(number * size, (number + 1) * size)))
        first = number * size
        monitor = MonitorRequest("cache", frozenset({first}), f"vcpus_{first}", HERE)
        nodes = (BandwidthRequest(0, Rate(50), HERE),)
        requests.append(GroupRequest(vcpus, f"vcpus_{format_ids(vcpus)}", (), nodes, (monitor,), HERE))
    return Domain("big", None, None, "kvm", threads, tuple(requests))


def big_guest(threads: int) -> Guest:
    tids = (Number(FIRST_TID + n) for n in range(threads))
    return Guest(FIRST_TID, tuple(Thread(tid, 0, "", Number(n)) for n, tid in enumerate(tids)))


def planned_host(groups: int, threads: int, owner: str) -> Host:
    """The host on which the domain is already placed, with threads in groups of this ``owner``."""
    host, domain = big_host(), big_domain(groups, threads)
    size = threads // groups
    standing: list[Group] = []
    for number, planned in enumerate(g for g in plan(domain, host, None).groups if g.kind == "control"):
        masks, bandwidth = host.default_group.masks, Bandwidth({"MB": {0: 50, 1: 100}})
        tids = tuple(Number(FIRST_TID + n) for n in range(number * size, (number + 1) * size))
        group = Group(planned.path, "control", "cachetune", masks=masks, bandwidth=bandwidth, tids=tids)
        standing.append(msgspec.structs.replace(group, owner=owner))
    return msgspec.structs.replace(host, groups=(*host.groups, *standing))


def effort(work: Callable[[], object]) -> int:
    """The number of calls (to functions, generators and builtins) and of comparisons."""
    calls = 0

    def count(_frame: FrameType, event: str, _argument: Any) -> None:
        nonlocal calls
        calls += event in {"call", "c_call"}

    Number.compared = 0
    before = sys.getprofile()
    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(before)
    return calls + Number.compared


def first_plan(groups: int, threads: int) -> int:
    domain, host, guest = big_domain(groups, threads), big_host(), big_guest(threads)
    return effort(lambda: plan(domain, host, guest))


def same_again(groups: int, threads: int) -> int:
    domain, host, guest = big_domain(groups, threads), planned_host(groups, threads, "cachetune"), big_guest(threads)
    return effort(lambda: plan(domain, host, guest))


def onto_groups_of_others(groups: int, threads: int) -> int:
    domain = big_domain(groups, threads)
    bare = tuple(msgspec.structs.replace(request, monitors=()) for request in domain.groups)
    domain = msgspec.structs.replace(domain, groups=bare)
    host, guest = planned_host(groups, threads, "libvirt"), big_guest(threads)
    return effort(lambda: plan(domain, host, guest, Options(take_tasks=True)))


def removal(groups: int, threads: int) -> int:
    host = planned_host(groups, threads, "cachetune")
    return effort(lambda: plan_removal(host, [PlanGuest("big", MACHINE)]))


@pytest.mark.parametrize("groups", [1, 64])
@pytest.mark.parametrize("work", [first_plan, same_again, onto_groups_of_others, removal])
def test_the_effort_is_linear_in_the_threads(work: Callable[[int, int], int], groups: int) -> None:
    assert work(groups, 6400) <= 11 * work(groups, 640)


@pytest.mark.parametrize("work", [first_plan, same_again, onto_groups_of_others, removal])
def test_the_effort_does_not_depend_on_the_number_of_groups(work: Callable[[int, int], int]) -> None:
    few, many = (work(groups, 6400) - work(groups, 640) for groups in (4, 64))
    assert many <= 1.5 * few + 1000
