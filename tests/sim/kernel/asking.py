"""Helpers for tests on a simulated resctrl: run an operation, return the errno's name and last_cmd_status."""

import errno
from collections.abc import Callable, Mapping

from cachetune.errors import ResctrlError
from cachetune.sim import SimulatedResctrl, load_profile
from cachetune.testing import Clock

KERNELS = ("6.1", "6.12")
TASK = 2001


def machine(*options: str, kernel: str = "6.12", profile: str = "cascade-lake", writer: int = 1) -> SimulatedResctrl:
    """Return the machine that the real kernels were recorded on, freshly mounted."""
    mounted = load_profile(profile).mounted(*options, kernel=kernel)
    return SimulatedResctrl(mounted, kernel=kernel, clock=Clock(), writer=writer)


def attempt(function: Callable[..., object], *arguments: object) -> str:
    """Run an operation and return "ok" or the name of its errno."""
    try:
        function(*arguments)
    except ResctrlError as error:
        return errno.errorcode[error.errno]
    return "ok"


def ask(sim: SimulatedResctrl, function: Callable[..., object], *arguments: object) -> tuple[str, str]:
    """Clear last_cmd_status, run an operation, and return its result and last_cmd_status."""
    clear_status(sim)
    return attempt(function, *arguments), sim.read("info/last_cmd_status")


def clear_status(sim: SimulatedResctrl) -> None:
    """Clear last_cmd_status by writing the current mode to mode."""
    sim.write("mode", sim.read("mode"))


def where(sim: SimulatedResctrl, tids: Mapping[str, int]) -> str:
    """Return the groups that list each task."""
    files = [path for path in sim.tree() if path.endswith("tasks")]
    groups = {path.removesuffix("tasks").rstrip("/") or ".": sim.read(path).split() for path in files}
    ordered = sorted(groups, key=lambda group: "tasks" if group == "." else f"{group}/tasks")
    found = {name: [g for g in ordered if str(tid) in groups[g]] for name, tid in tids.items()}
    return "; ".join(f"{name} in {', '.join(places) or 'nowhere'}" for name, places in found.items())


def modes(sim: SimulatedResctrl, name: str) -> str:
    """Return the modes of the default group, g1 and g2, and the bit_usage of the caches."""
    each = " / ".join(sim.read(f"{group}/mode").strip() for group in (".", "g1", "g2"))
    return f"{each}; {sim.read(f'info/{name}/bit_usage').strip()}"


def write_masks(sim: SimulatedResctrl, group: str, text: str) -> None:
    """Write the same masks for L3, or for its data and code."""
    for name in sim.listdir("info"):
        if name.startswith("L3") and name != "L3_MON":
            sim.write(f"{group}/schemata", f"{name}:{text}\n")


def arrange(sim: SimulatedResctrl, what: str) -> None:
    """Set up g1 with what the row says, and nothing else."""
    sim.write("tasks", f"{TASK}\n")
    sim.write("g1/cpus_list", "\n")
    if what == "g1 has a task":
        sim.write("g1/tasks", f"{TASK}\n")
    elif what == "g1 has a CPU":
        sim.write("g1/cpus_list", "0\n")
    elif what == "g1 has a monitoring group":
        sim.mkdir("g1/mon_groups/m1")
