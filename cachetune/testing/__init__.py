"""Test code that uses resctrl, without the hardware.

A simulated resctrl in memory, a guest on it, and a fault::

    >>> import errno
    >>> from cachetune.testing import add_guest, simulate
    >>> resctrl = simulate("skylake-2s", kernel="6.12")
    >>> guest = add_guest(resctrl, vcpus=2)
    >>> resctrl.mkdir("web")
    >>> resctrl.write("web/schemata", "L3:0=f\\n")
    >>> resctrl.write("web/tasks", f"{guest.threads[0].tid}\\n")
    >>> resctrl.read("web/schemata").split()
    ['MB:0=100;1=100', 'L3:0=00f;1=7ff']
    >>> resctrl.fail(errno.ENOSPC, operation="mkdir")
    >>> resctrl.mkdir("db")
    Traceback (most recent call last):
    cachetune.errors.ResctrlError: cannot mkdir db: ENOSPC

``mounted`` serves the same as a file system that any program can use. In pytest, the fixtures ``simulated_resctrl``
and ``mounted_resctrl`` give a fresh one to each test; see ``cachetune.testing.plugin``.

Everything here answers as Linux does (6.1, 6.12, 6.18 or 7.3), with its errnos and texts in info/last_cmd_status.
"""

from typing import TYPE_CHECKING

from cachetune.lazy import lazy

if TYPE_CHECKING:
    from cachetune.testing.guests import GuestProcess, add_guest
    from cachetune.testing.mounting import MountedResctrl, mounted
    from cachetune.testing.simulated import (
        Clock,
        Fault,
        Operation,
        Profile,
        SimulatedResctrl,
        Workload,
        WorkloadEntry,
        decode_profile,
        load_profile,
        parse_fault,
        profile_names,
        simulate,
        simulate_host,
        write_sysfs,
        write_tree,
    )

__all__ = [
    "Clock",
    "Fault",
    "GuestProcess",
    "MountedResctrl",
    "Operation",
    "Profile",
    "SimulatedResctrl",
    "Workload",
    "WorkloadEntry",
    "add_guest",
    "decode_profile",
    "load_profile",
    "mounted",
    "parse_fault",
    "profile_names",
    "simulate",
    "simulate_host",
    "write_sysfs",
    "write_tree",
]

_MODULES = {"GuestProcess": "guests", "add_guest": "guests", "MountedResctrl": "mounting", "mounted": "mounting"}

__getattr__ = lazy(__name__, {name: _MODULES.get(name, "simulated") for name in __all__})
