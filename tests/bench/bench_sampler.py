"""Sampling the counters of a host against the same preads on descriptors that are kept open, and nothing more.

Times are those of the CPU, so that whatever else runs on the machine does not count.
"""

import os
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from cachetune.host.resctrl.files import SysfsResctrl
from cachetune.service.connection import Location
from cachetune.service.readings import Watcher
from cachetune.service.select import Selection
from cachetune.watch.sampler import Sample, Sampler, rates
from tests.bench.table import Row
from tests.host.trees import below, make, monitoring
from tests.host.trees import group as files_of_group

_GROUPS, _CACHES, _EVENTS = 200, 2, ("llc_occupancy", "mbm_total_bytes", "mbm_local_bytes")


def rows() -> list[Row]:
    """Medians of interleaved samples of 1,200 counters."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        _make_tree(root)
        place = Location(resctrl=root, run=root / "run")
        with (
            Sampler(lambda: SysfsResctrl(root), lambda: {"L3": _EVENTS}) as sampler,
            Watcher(place, Selection()) as watcher,
        ):
            fds = [os.open(file, os.O_RDONLY) for file in sorted(root.glob("**/mon_L3_*/*"))]
            found = _rows(sampler, watcher, fds)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return found


def _rows(sampler: Sampler, watcher: Watcher, fds: list[int]) -> list[Row]:
    last, seen = sampler.sample(), watcher.look().readings

    def bare() -> None:
        for fd in fds:
            os.pread(fd, 64, 0)

    def sample_and_rates() -> None:
        nonlocal last
        last = _with_rates(last, sampler.sample())

    count = sum(len(group.values) for group in last.groups.values())
    looked_at = sum(len(monitor.counters) for monitor in seen.monitors)
    assert count == looked_at == len(fds) == _GROUPS * _CACHES * len(_EVENTS)
    functions = (sampler.sample, sample_and_rates, watcher.look, bare)
    times = [tuple(map(_seconds, functions)) for _ in range(200)]
    for fd in fds:
        os.close(fd)
    sampled, rated, looked, peer = (statistics.median(column) for column in zip(*times, strict=True))
    return [
        Row(f"sample {count:,} counters / pread them from open files", sampled, peer, 2.0),
        Row(f"sample {count:,} counters with their rates / pread them from open files", rated, peer, 2.3),
        Row(f"look at {count:,} counters, with rates and labels / pread them from open files", looked, peer, 3.0),
    ]


def _with_rates(before: Sample, after: Sample) -> Sample:
    for path, group in after.groups.items():
        rates(before.groups.get(path), group)
    return after


def _seconds(function: Callable[[], object]) -> float:
    began = time.thread_time()
    function()
    return time.thread_time() - began


def _make_tree(root: Path) -> None:
    """The default group and others, each with its counters."""
    make(root, below("info/L3_MON", monitoring(*_EVENTS, rmids=2 * _GROUPS)))
    for group in (root, *(root / f"qemu-{number}-guest" for number in range(1, _GROUPS))):
        (group / "mon_groups").mkdir(parents=True)
        make(group, files_of_group())
        for cache in range(_CACHES):
            directory = group / "mon_data" / f"mon_L3_{cache:02d}"
            directory.mkdir(parents=True)
            for event in _EVENTS:
                (directory / event).write_text("1234567890\n")
