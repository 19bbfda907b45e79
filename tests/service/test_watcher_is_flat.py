"""Watching for long: groups that are created and removed leave neither memory nor open files behind."""

import gc
import itertools
import tracemalloc
from collections.abc import Callable

import pytest

from cachetune.host.resctrl.port import OpenFile
from cachetune.service import readings as service
from cachetune.service.connection import Location
from cachetune.service.readings import Watcher
from cachetune.service.select import Selection
from cachetune.sim.kernel.resctrl import SimulatedResctrl
from cachetune.testing import Clock, simulate
from cachetune.watch import sampler

_LOOKS, _ALIVE, _NAMES = 130, 2, 13
_BYTES_FOR_EACH_LOOK = 32
"""Less than any object: an object that each look or each new group left behind would be more."""


class Opened:
    """How many files of a simulated resctrl are open."""

    def __init__(self, sim: SimulatedResctrl, monkeypatch: pytest.MonkeyPatch) -> None:
        self.files = 0
        real = sim.open

        def counted(path: str) -> OpenFile:
            file = real(path)
            self.files += 1
            return OpenFile(file.read, self._closing(file))

        monkeypatch.setattr(sim, "open", counted)

    def _closing(self, file: OpenFile) -> Callable[[], None]:
        def close() -> None:
            self.files -= 1
            file.close()

        return close


def memory_of_ours() -> int:
    """The bytes of what is watching; the simulated kernel beside it remembers each operation."""
    gc.collect()
    ours = [tracemalloc.Filter(True, f"*/cachetune/{package}/*") for package in ("watch", "service", "host", "plan")]
    snapshot = tracemalloc.take_snapshot().filter_traces(ours)
    return sum(trace.size for trace in snapshot.traces)


def test_guests_that_start_and_end_leave_memory_and_open_files_as_they_were(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock()
    sim = simulate("skylake-2s", clock=clock)
    opened = Opened(sim, monkeypatch)
    monkeypatch.setattr("cachetune.watch.sampler.time.monotonic", clock)
    monkeypatch.setattr(service, "open_resctrl", lambda _: sim)
    numbers = itertools.count()

    def live(watcher: Watcher, seconds: int) -> int:
        """Each second one guest ends, another one starts, and all are looked at; how many files are open then."""
        for number in itertools.islice(numbers, seconds):
            if number >= _ALIVE:
                sim.rmdir(f"qemu-1-guest{(number - _ALIVE) % _NAMES}")
            name = f"qemu-1-guest{number % _NAMES}"
            sim.mkdir(name)
            sim.mkdir(f"{name}/mon_groups/{name}-vcpus_0")
            clock.advance(1)
            assert len(watcher.look().readings.monitors) > 1
        clock.advance(sampler.RESCAN_SECONDS)
        watcher.look()
        return opened.files

    with Watcher(Location(host="sim:any"), Selection()) as watcher:
        files = live(watcher, 2 * _NAMES)
        tracemalloc.start()
        try:
            live(watcher, _NAMES)
            before = memory_of_ours()
            assert live(watcher, _LOOKS) == files > 0
            grown = memory_of_ours() - before
        finally:
            tracemalloc.stop()
    assert opened.files == 0
    assert grown < _LOOKS * _BYTES_FOR_EACH_LOOK
