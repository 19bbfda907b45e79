"""Read a whole host: its groups, then what the hardware can do. One pass, each file once.

A file that is missing from a plain copy of a tree leaves its part of the Host empty.
"""

from collections.abc import Callable, Collection, Iterable
from pathlib import Path

from cachetune.errors import HostError
from cachetune.host.capabilities import Info, names_in, read_bandwidths, read_caches, read_monitors
from cachetune.host.groups import GroupReader
from cachetune.host.model import Host, MonitorControl
from cachetune.host.resctrl.port import Resctrl
from cachetune.host.resctrl.schemata import cache_resource
from cachetune.host.sysfs import Machine, read_machine

_NOT_RESOURCES = {"last_cmd_status"}


def read_host(
    fs: Resctrl,
    sysfs: Path | None = None,
    owned: Collection[str] = (),
    machine_of: Callable[[Path, Collection[int]], Machine] = read_machine,
) -> Host:
    """Read everything that planning needs to know about the host behind ``fs``.

    ``sysfs`` is where the caches and their sizes are looked up first (usually /sys). ``owned`` are paths of groups in
    our ledger, whatever their names. ``machine_of`` reads what sysfs has about the caches on some levels. A caller that
    needs a consistent state takes the lock first.

    Raises HostError for a file in info/ with unexpected content, ResctrlError for one that cannot be read. What is
    wrong in a group is in the Host's ``problems``.
    """
    infos = [Info(fs, name) for name in fs.listdir("info") if name not in _NOT_RESOURCES]
    _refuse_old_mpam(fs, infos)
    monitors = tuple(read_monitors(infos))
    assignment = next((m.assignment for m in monitors if m.assignment), None)
    reader = GroupReader(
        fs,
        owned,
        assignments=assignment is not None and assignment.is_active,
        allocates=any(not info.name.endswith("_MON") for info in infos),
    )
    groups = tuple(reader.groups())
    levels = {3, *(cache[0] for info in infos if (cache := cache_resource(info.name)))}
    machine = machine_of(sysfs, levels) if sysfs else Machine({}, fs.topology)
    caches = tuple(read_caches(fs, infos, groups[0], machine.caches))
    bandwidths = tuple(read_bandwidths(infos, groups, caches, fs.mount_options))
    known = {*(c.name for c in caches), *(b.name for b in bandwidths), *(m.name for m in monitors)}
    return Host(
        source=fs.source,
        mount_options=fs.mount_options,
        caches=caches,
        bandwidths=bandwidths,
        monitors=monitors,
        groups=(groups[0], *reader.plausible(groups[1:], caches)),
        snc_nodes=_snc_nodes(fs, monitors),
        topology=machine.topology,
        unknown_resources={info.name: info.number("num_closids", None) for info in infos if info.name not in known},
        problems=tuple(reader.problems),
    )


def _refuse_old_mpam(fs: Resctrl, infos: Iterable[Info]) -> None:
    """Refuse the MPAM of vendor kernels of 4.19: other masks, counters that are files, groups without a mode."""
    if any("features" in info.files for info in infos):
        raise HostError(
            fs.source,
            "this is MPAM as vendor kernels of Linux 4.19 have it, which cachetune cannot use",
            hint="its schemata and counters have another form; use a kernel with mainline MPAM (7.1 or later)",
        )


def _snc_nodes(fs: Resctrl, monitors: Iterable[MonitorControl]) -> int:
    """How many Sub-NUMA nodes share an L3 cache: each has a directory in mon_data/mon_L3_XX."""
    if not any(monitor.name == "L3_MON" for monitor in monitors):
        return 1
    domain = next((name for name in names_in(fs, "mon_data") if name.startswith("mon_L3_")), None)
    nodes = [name for name in names_in(fs, f"mon_data/{domain}") if name.startswith("mon_sub_L3_")] if domain else []
    return max(len(nodes), 1)
