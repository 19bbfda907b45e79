"""A simulated resctrl, which needs no hardware.

``SimulatedResctrl`` takes a profile (the features of a processor) and implements the Resctrl port as Linux would, in
one of the versions in ``rules``, with faults on demand. ``simulate_host`` starts from a saved host instead. Nothing
here touches the machine, except ``fuse``, which mounts the simulation as a file system; its tasks may be this machine's
threads, which are only read.

The modules depend on each other in one direction: ``saved``, ``copies`` and ``fuse`` use ``kernel``, which uses
``workloads``, ``contention``, ``profile``, ``rules``, ``faults`` and ``numbers``.
"""

from cachetune.sim.copies import sysfs_files, write_sysfs, write_tree
from cachetune.sim.faults import Operation
from cachetune.sim.kernel.resctrl import SimulatedResctrl
from cachetune.sim.load import decode_profile, load_profile, profile_names
from cachetune.sim.profile import Profile
from cachetune.sim.saved import simulate_host
from cachetune.sim.workloads import Workload, WorkloadEntry, read_workloads

__all__ = [
    "Operation",
    "Profile",
    "SimulatedResctrl",
    "Workload",
    "WorkloadEntry",
    "decode_profile",
    "load_profile",
    "profile_names",
    "read_workloads",
    "simulate_host",
    "sysfs_files",
    "write_sysfs",
    "write_tree",
]
