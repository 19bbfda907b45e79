"""Sampling the counters of a host against the same preads on descriptors that are kept open, and nothing more."""

import os
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from cachetune.host.resctrl.files import SysfsResctrl
from cachetune.watch.sampler import Sample, Sampler, rates
from tests.bench.table import Row

_GROUPS, _CACHES, _EVENTS = 200, 2, ("llc_occupancy", "mbm_total_bytes", "mbm_local_bytes")


def rows() -> list[Row]:
    """Medians of interleaved samples of 1,200 counters."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        _make_tree(root)
        with Sampler(lambda: SysfsResctrl(root), lambda: {"L3": _EVENTS}) as sampler:
            found = _rows(sampler, [os.open(file, os.O_RDONLY) for file in sorted(root.glob("**/mon_L3_*/*"))])
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return found


def _rows(sampler: Sampler, fds: list[int]) -> list[Row]:
    last = sampler.sample()

    def bare() -> None:
        for fd in fds:
            os.pread(fd, 64, 0)

    def sample_and_rates() -> None:
        nonlocal last
        last = _with_rates(last, sampler.sample())

    count = sum(len(group.values) for group in last.groups.values())
    assert count == len(fds) == _GROUPS * _CACHES * len(_EVENTS)
    triples = [(_seconds(sampler.sample), _seconds(sample_and_rates), _seconds(bare)) for _ in range(200)]
    for fd in fds:
        os.close(fd)
    sampled, rated, peer = (statistics.median(column) for column in zip(*triples, strict=True))
    return [
        Row(f"sample {count:,} counters / pread them from open files", sampled, peer, 2.0),
        Row(f"sample {count:,} counters with their rates / pread them from open files", rated, peer, 2.3),
    ]


def _with_rates(before: Sample, after: Sample) -> Sample:
    for path, group in after.groups.items():
        rates(before.groups.get(path), group)
    return after


def _seconds(function: Callable[[], object]) -> float:
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


def _make_tree(root: Path) -> None:
    """The default group and others, each with its counters."""
    (root / "info").mkdir()
    for group in (root, *(root / f"qemu-{number}-guest" for number in range(1, _GROUPS))):
        (group / "mon_groups").mkdir(parents=True)
        for cache in range(_CACHES):
            directory = group / "mon_data" / f"mon_L3_{cache:02d}"
            directory.mkdir(parents=True)
            for event in _EVENTS:
                (directory / event).write_text("1234567890\n")
