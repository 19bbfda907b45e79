"""Many guests and many threads: operations on resctrl against the least possible, and seconds against linear growth.

Operations are counted at the Resctrl port of the simulated host. A run counts one for its lock and, from the first
that changes something on, every write, mkdir, read and look that follows; the one reading of the host before that is
left out. The least possible is one for the lock; for each group one mkdir and one read of its tasks, for each control
group one write of its schemata and one read of it; for the default group, which must give up the ways, one write and
one read; and as many writes of tasks as the kernel needs: one for each move of a group on 6.12, one for each thread
moved on 6.1.
"""

import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import msgspec

from cachetune.apply import ledger
from cachetune.apply.applier import Place, apply
from cachetune.domain.model import BandwidthRequest, CacheRequest, Domain, GroupRequest, MonitorRequest
from cachetune.findings import Source
from cachetune.guests.model import Guest, Thread
from cachetune.host.read import read_host
from cachetune.host.state import is_monitor
from cachetune.idset import format_ids
from cachetune.plan import Options, Plan, plan
from cachetune.plan.model import CreateGroup, MoveTasks, WriteSchemata
from cachetune.sim import SimulatedResctrl, load_profile
from tests.bench.table import Row

_GUESTS, _VCPUS = 15, 64
_CHANGES = {"write", "mkdir", "rmdir"}
_MIB = 1 << 20
_HERE = Source()


def rows() -> list[Row]:
    """Two rows of operations for each kernel, then how the time to read a host and plan on it grows."""
    return [*_operations("6.12"), *_operations("6.1"), *_growth()]


class _Counted:
    """A simulated resctrl that counts what is asked of it. ``count`` begins at each lock."""

    def __init__(self, sim: SimulatedResctrl) -> None:
        self._sim = sim
        self.source, self.mount_options = sim.source, sim.mount_options
        self.count = 0
        self._changing = False

    def _note(self, operation: str) -> None:
        self._changing |= operation in _CHANGES
        self.count += self._changing

    def listdir(self, path: str) -> list[str]:
        self._note("listdir")
        return self._sim.listdir(path)

    def read(self, path: str) -> str:
        self._note("read")
        return self._sim.read(path)

    def write(self, path: str, text: str) -> None:
        self._note("write")
        self._sim.write(path, text)

    def mkdir(self, path: str) -> None:
        self._note("mkdir")
        self._sim.mkdir(path)

    def rmdir(self, path: str) -> None:
        self._note("rmdir")
        self._sim.rmdir(path)

    def exists(self, path: str) -> bool:
        self._note("exists")
        return self._sim.exists(path)

    def lock(self, *, exclusive: bool, timeout: float) -> AbstractContextManager[None]:
        self.count, self._changing = 1, False
        return self._sim.lock(exclusive=exclusive, timeout=timeout)


def _operations(kernel: str) -> Iterator[Row]:
    """Fifteen guests of 64 vCPUs, one after the other, on a host with 16 CLOSIDs and 16 ways."""
    sim = SimulatedResctrl(load_profile("milan"), kernel=kernel)
    resctrl = _Counted(sim)
    ours, least = [], []
    with tempfile.TemporaryDirectory() as run:
        place = Place(resctrl, Path(run))
        for number in range(_GUESTS):
            guest = _guest(_VCPUS, 10_000 + 1000 * number)
            for thread in guest.threads:
                sim.add_task(thread.tid)
            wanted = plan(
                _tuned(f"guest{number}"), place.look(ledger.load(place.run)), guest, Options(shrink_default=True)
            )
            report = apply(wanted, place)
            assert report.outcome == "done", report.error
            ours.append(resctrl.count)
            least.append(_least(wanted, lists=sim.state.rules.task_lists))
    what = f"{_VCPUS} vCPUs in a control and 2 monitor groups, {kernel}"
    yield Row(f"operations to apply the first guest: {what} / the least possible", ours[0], least[0], 1.5, "ops")
    yield Row(f"operations to apply {_GUESTS} such guests / the least possible", sum(ours), sum(least), 1.5, "ops")


def _least(wanted: Plan, *, lists: bool) -> int:
    """The count of operations without which the plan cannot be carried out and read back."""
    made = [step.path for step in wanted.steps if isinstance(step, CreateGroup)]
    written = {step.path for step in wanted.steps if isinstance(step, WriteSchemata)}
    moves = [len(step.tids) for step in wanted.steps if isinstance(step, MoveTasks)]
    assert sum(not is_monitor(path) for path in made) == 1
    assert len(written) == 2
    return 1 + len(made) + 2 * len(written) + (len(moves) if lists else sum(moves)) + len(made)


def _tuned(name: str) -> Domain:
    """One way of one cache for all vCPUs, and a monitor for either half of them."""
    halves = (frozenset(range(_VCPUS // 2)), frozenset(range(_VCPUS // 2, _VCPUS)))
    monitors = tuple(MonitorRequest("cache", half, f"vcpus_{format_ids(half)}", _HERE) for half in halves)
    cache = CacheRequest(3, 0, "both", 2 * _MIB, _HERE)
    vcpus = frozenset(range(_VCPUS))
    group = GroupRequest(vcpus, f"vcpus_{format_ids(vcpus)}", (cache,), (), monitors, _HERE)
    return Domain(name, None, None, "kvm", _VCPUS, (group,))


def _growth() -> Iterator[Row]:
    """Read the host and plan on it: ten times the threads, and as many groups as one host can have."""
    for groups in (1, 128):
        counts = [n for n in (10, 100, 1000, 10_000) if n >= groups]
        runs = {threads: _planning(groups, threads) for threads in counts}
        seconds = _medians(runs.values())
        for few, many in zip(range(len(counts) - 1), range(1, len(counts)), strict=True):
            what = f"read and plan: {counts[many]} threads in {_groups(groups)} / {counts[few]} threads, times ten"
            yield Row(what, seconds[many], 10 * seconds[few], 1.3)
    one, all_of_them = _medians([_planning(1, 78), _planning(128, 78 * 128)])
    yield Row("read and plan: 128 groups of 78 threads / 1 group of 78 threads, times 128", all_of_them, 128 * one, 1.3)


def _planning(groups: int, threads: int) -> Callable[[], object]:
    """Reads a simulated host on which the guest's threads run, and plans a domain with as many groups."""
    profile = load_profile("milan")
    replace = msgspec.structs.replace
    profile = replace(
        profile,
        caches=tuple(replace(c, closids=256) for c in profile.caches),
        bandwidths=tuple(replace(b, closids=256) for b in profile.bandwidths),
    )
    sim, guest = SimulatedResctrl(profile), _guest(threads, 100_000)
    for thread in guest.threads:
        sim.add_task(thread.tid)
    size = threads // groups
    requests = (frozenset(range(n * size, (n + 1) * size)) for n in range(groups))
    nodes = (BandwidthRequest(0, 80, _HERE),)
    made = tuple(GroupRequest(v, f"vcpus_{format_ids(v)}", (), nodes, (), _HERE) for v in requests)
    domain = Domain("big", None, None, "kvm", threads, made)
    return lambda: plan(domain, read_host(sim), guest)


def _guest(threads: int, first: int) -> Guest:
    return Guest(first, tuple(Thread(first + n, 0, f"CPU {n}/KVM", n) for n in range(threads)))


def _medians(runs: Iterable[Callable[[], object]]) -> list[float]:
    """Seconds of each, taking turns so that a busy machine is busy for all."""
    seconds: list[list[float]] = []
    works = list(runs)
    for _ in range(11):
        seconds.append([])
        for work in works:
            began = time.perf_counter()
            work()
            seconds[-1].append(time.perf_counter() - began)
    return [statistics.median(of) for of in zip(*seconds[1:], strict=True)]


def _groups(count: int) -> str:
    return "1 group" if count == 1 else f"{count} groups"
