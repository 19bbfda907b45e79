"""Many guests and many threads: operations on resctrl against the least possible, and seconds against linear growth.

The operations are system calls on a mounted simulator, counted by strace; ``operations`` says which.
"""

import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import msgspec

from cachetune.domain.model import BandwidthRequest, Domain, GroupRequest
from cachetune.findings import Source
from cachetune.guests.model import Guest, Thread
from cachetune.host.read import read_host
from cachetune.idset import format_ids
from cachetune.plan import plan
from cachetune.sim import SimulatedResctrl, load_profile
from cachetune.units import Rate
from tests.bench.operations import least
from tests.bench.table import Row
from tests.sim.fuse.fleet_on_mount import run_fleet

_HERE = Source()


def rows() -> list[Row]:
    """Two rows of operations for each kernel, then how the time to read a host and plan on it grows."""
    return [*_operations("6.12", lists=True), *_operations("6.1", lists=False), *_growth()]


def _operations(kernel: str, *, lists: bool) -> Iterator[Row]:
    """Fifteen guests of 64 vCPUs, all of them real threads, on a host with 16 CLOSIDs and 16 ways."""
    with tempfile.TemporaryDirectory() as name:
        outcome = run_fleet(Path(name), kernel)
    what = f"64 vCPUs in a control and 2 monitor groups, {kernel}"
    for guests, run in (("the first guest", outcome.first), ("14 more such guests at once", outcome.others)):
        wanted = least(run.steps, lists=lists)
        yield Row(f"system calls to apply {guests}: {what} / the least possible", run.operations, wanted, 1.5, "ops")


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
    nodes = (BandwidthRequest(0, Rate(80), _HERE),)
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
