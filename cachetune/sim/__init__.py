"""A resctrl that needs no hardware.

In comes a profile (what a processor offers) or a saved host, out goes an object that behaves as Linux 6.1 or 6.12
does behind the Resctrl port, with faults on order. It never touches the machine that it runs on, but for ``serve``
and ``mounts``: they make a mounted file system of it, whose tasks may be the threads of this machine (only looked at).
"""

from cachetune.sim.copies import sysfs_files, write_sysfs, write_tree
from cachetune.sim.faults import Operation
from cachetune.sim.kernel.resctrl import SimulatedResctrl
from cachetune.sim.profile import Profile, decode_profile, load_profile, profile_names

__all__ = [
    "Operation",
    "Profile",
    "SimulatedResctrl",
    "decode_profile",
    "load_profile",
    "profile_names",
    "sysfs_files",
    "write_sysfs",
    "write_tree",
]
