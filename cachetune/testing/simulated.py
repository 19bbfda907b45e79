"""A simulated resctrl in memory, set up in one call, and the names that go with it."""

import time
from collections.abc import Callable, Sequence

from cachetune.sim import (
    Operation,
    Profile,
    SimulatedResctrl,
    Workload,
    WorkloadEntry,
    decode_profile,
    load_profile,
    profile_names,
    simulate_host,
    write_sysfs,
    write_tree,
)
from cachetune.sim.faults import Fault, parse_fault

__all__ = [
    "Clock",
    "Fault",
    "Operation",
    "Profile",
    "SimulatedResctrl",
    "Workload",
    "WorkloadEntry",
    "decode_profile",
    "load_profile",
    "parse_fault",
    "profile_names",
    "simulate",
    "simulate_host",
    "write_sysfs",
    "write_tree",
]

DEFAULT_PROFILE = "skylake-2s"


class Clock:
    """A clock that only moves when the test moves it. Pass it to ``simulate`` for exact counters and RMID limbo."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        """Return the time in seconds."""
        return self.now

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds


def simulate(
    profile: str | Profile = DEFAULT_PROFILE,
    *,
    kernel: str | None = None,
    options: Sequence[str] | None = None,
    faults: Sequence[str] = (),
    clock: Callable[[], float] = time.monotonic,
    workloads: Sequence[WorkloadEntry] = (),
) -> SimulatedResctrl:
    """Return a freshly mounted resctrl in memory.

    ``profile`` is one of ``profile_names()`` or a ``Profile``. ``kernel`` is "6.1", "6.12", "6.18" or "7.3",
    ``options`` are mount options (cdp, cdpl2, mba_MBps, debug); None takes the profile's. ``faults`` are written as for
    ``cachetune sim mount --fault``: "mkdir:ENOSPC:3" fails the third mkdir. ``workloads`` are what guests and groups do
    to the caches.

    Raises ProfileNotFoundError, UnknownVersionError, ResctrlError (EINVAL) for a mount option that the kernel or
    the processor does not support, ValueError for a malformed fault.
    """
    found = load_profile(profile) if isinstance(profile, str) else profile
    if options is not None:
        found = found.mounted(*options, kernel=kernel)
    sim = SimulatedResctrl(found, kernel=kernel, clock=clock, workloads=workloads)
    for fault in faults:
        sim.add_fault(parse_fault(fault))
    return sim
